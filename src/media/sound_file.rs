//! Sound files: WAV, FLAC and Ogg Opus, decoded and mixed into one channel; hides the crate `symphonia`.
//!
//! Pure. How long a sound may be, and the rate that a player takes, do not belong here.

use std::io::{Cursor, ErrorKind};
use std::ops::RangeInclusive;

use bytes::Bytes;
use symphonia::core::audio::Channels;
use symphonia::core::codecs::CodecParameters;
use symphonia::core::codecs::audio::well_known::CODEC_ID_OPUS;
use symphonia::core::codecs::audio::{AudioCodecParameters, AudioDecoder, AudioDecoderOptions};
use symphonia::core::errors::Error;
use symphonia::core::formats::{FormatOptions, FormatReader, TrackType};
use symphonia::core::io::{MediaSourceStream, MediaSourceStreamOptions};
use symphonia::core::packet::Packet;
use symphonia::default::formats::{FlacReader, OggReader, WavReader};
use symphonia::default::get_codecs;

/// Rates in hertz, from that of a telephone to the highest that is recorded with.
const RATES: RangeInclusive<u32> = 8_000..=192_000;

/// Channels: up to those of a cinema, which are mixed.
const MAX_CHANNELS: usize = 8;

/// Opus in Ogg is decoded at this rate (RFC 7845 section 4).
const OPUS_RATE: u32 = 48_000;

/// The longest Opus packet, in samples: 120 ms (RFC 6716 section 3.2.5).
const MAX_OPUS_SAMPLES: usize = 5_760;

/// Why a file cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SoundFileError {
    /// It is something else.
    #[error("this is no WAV, FLAC or Ogg Opus file; convert it, for example with `ffmpeg -i FILE sound.wav`")]
    Format,
    /// It is one, of a kind that is not decoded.
    #[error("{0}, which is not decoded here; convert it, for example with `ffmpeg -i FILE -ac 1 -ar 48000 sound.wav`")]
    Unsupported(String),
    /// It is damaged, or its end is missing.
    #[error("the file is damaged or cut off: {0}")]
    Damaged(String),
}

impl SoundFileError {
    fn of(error: Error) -> Self {
        match error {
            Error::Unsupported(what) => Self::Unsupported(format!("the file has something unusual ({what})")),
            // Ogg files that were put together have several streams, one after the other.
            Error::ResetRequired => Self::Unsupported("the file has several sounds".into()),
            other => Self::Damaged(other.to_string()),
        }
    }
}

/// The formats, by their first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Wav,
    Flac,
    Ogg,
}

impl Container {
    fn of(file: &[u8]) -> Option<Self> {
        match file {
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'f', b'L', b'a', b'C', ..] => Some(Self::Flac),
            [b'O', b'g', b'g', b'S', ..] => Some(Self::Ogg),
            _ => None,
        }
    }

    fn open(self, stream: MediaSourceStream<'static>) -> Result<Box<dyn FormatReader>, Error> {
        let options = FormatOptions::default();
        Ok(match self {
            Self::Wav => Box::new(WavReader::try_new(stream, options)?),
            Self::Flac => Box::new(FlacReader::try_new(stream, options)?),
            Self::Ogg => Box::new(OggReader::try_new(stream, options)?),
        })
    }
}

/// A file that is being decoded.
pub struct SoundFile {
    container: Container,
    reader: Box<dyn FormatReader>,
    /// The track that is decoded.
    track: u32,
    decoder: SoundDecoder,
    rate: u32,
    /// What was decoded last, mixed.
    mixed: Vec<f32>,
}

/// What decodes a track.
enum SoundDecoder {
    Opus {
        decoder: opus::Decoder,
        /// Samples at the beginning that the decoder only needs to find into it.
        pre_skip: usize,
    },
    Other {
        decoder: Box<dyn AudioDecoder>,
        channels: usize,
        interleaved: Vec<f32>,
    },
}

impl SoundFile {
    /// Reads the beginning of a file.
    ///
    /// # Errors
    ///
    /// See [`SoundFileError`].
    pub fn open(file: Bytes) -> Result<Self, SoundFileError> {
        let container = Container::of(&file).ok_or(SoundFileError::Format)?;
        if container == Container::Wav {
            check_wav_channels(&file)?;
        }
        let stream = MediaSourceStream::new(Box::new(Cursor::new(file)), MediaSourceStreamOptions::default());
        let reader = container.open(stream).map_err(SoundFileError::of)?;
        let track = reader.first_track(TrackType::Audio).ok_or(SoundFileError::Format)?;
        let Some(CodecParameters::Audio(parameters)) = &track.codec_params else { return Err(SoundFileError::Format) };
        let (decoder, rate) = match parameters.codec {
            CODEC_ID_OPUS => (SoundDecoder::opus(parameters)?, OPUS_RATE),
            _ => (SoundDecoder::other(parameters)?, parameters.sample_rate.unwrap_or(0)),
        };
        if !RATES.contains(&rate) {
            return Err(SoundFileError::Unsupported(format!("the sound has a rate of {rate} Hz")));
        }
        let track = track.id;
        Ok(Self { container, reader, track, decoder, rate, mixed: Vec::new() })
    }

    /// The rate of the samples, in hertz.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The samples that come next, from -1 to 1; `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`SoundFileError`].
    pub fn next_samples(&mut self) -> Result<Option<&[f32]>, SoundFileError> {
        Ok(if self.decode_next()? { Some(&self.mixed) } else { None })
    }

    /// Decodes the next packet; whether there was one.
    fn decode_next(&mut self) -> Result<bool, SoundFileError> {
        loop {
            let packet = match self.reader.next_packet() {
                Ok(Some(packet)) if packet.track_id != self.track => continue,
                Ok(Some(packet)) => packet,
                Ok(None) => return self.decoder.check_end().map(|()| false),
                // Whoever writes a WAV into a pipe can't go back and say how long it is.
                Err(Error::IoError(error))
                    if self.container == Container::Wav && error.kind() == ErrorKind::UnexpectedEof =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(SoundFileError::of(error)),
            };
            if packet.data.is_empty() && self.container == Container::Wav {
                return Ok(false);
            }
            self.mixed.clear();
            self.decoder.decode(&packet, self.rate, &mut self.mixed)?;
            return Ok(true);
        }
    }
}

impl SoundDecoder {
    fn opus(parameters: &AudioCodecParameters) -> Result<Self, SoundFileError> {
        // RFC 7845 section 5.1.
        let head = parameters.extra_data.as_deref().unwrap_or_default();
        let &[_, _, _, _, _, _, _, _, _, _, skip_low, skip_high, _, _, _, _, gain_low, gain_high, family, ..] = head
        else {
            return Err(SoundFileError::Damaged("the head of Opus is too short".into()));
        };
        if family != 0 {
            return Err(SoundFileError::Unsupported("the file has more than two channels of Opus".into()));
        }
        let failed = |error: opus::Error| SoundFileError::Damaged(error.to_string());
        // Stereo is mixed by the decoder.
        let mut decoder = opus::Decoder::new(OPUS_RATE, opus::Channels::Mono).map_err(failed)?;
        decoder.set_gain(i16::from_le_bytes([gain_low, gain_high]).into()).map_err(failed)?;
        Ok(Self::Opus { decoder, pre_skip: u16::from_le_bytes([skip_low, skip_high]).into() })
    }

    fn other(parameters: &AudioCodecParameters) -> Result<Self, SoundFileError> {
        let channels = parameters.channels.as_ref().map_or(0, Channels::count);
        if !(1..=MAX_CHANNELS).contains(&channels) {
            return Err(SoundFileError::Unsupported(format!("the sound has {channels} channels")));
        }
        // Where a file has a digest of its sound.
        let options = AudioDecoderOptions::default().verify(true);
        let decoder = get_codecs().make_audio_decoder(parameters, &options);
        let decoder = decoder.map_err(|error| match error {
            Error::Unsupported(_) => SoundFileError::Unsupported("the file has another codec".into()),
            other => SoundFileError::of(other),
        })?;
        Ok(Self::Other { decoder, channels, interleaved: Vec::new() })
    }

    /// Appends what is in a packet.
    fn decode(&mut self, packet: &Packet, rate: u32, mixed: &mut Vec<f32>) -> Result<(), SoundFileError> {
        match self {
            Self::Opus { decoder, pre_skip } => {
                // Without a packet the decoder would conceal.
                if packet.data.is_empty() {
                    return Err(SoundFileError::Damaged("a packet is empty".into()));
                }
                mixed.resize(MAX_OPUS_SAMPLES, 0.0);
                let decoded = decoder.decode_float(&packet.data, mixed, false);
                let count = decoded.map_err(|error| SoundFileError::Damaged(error.to_string()))?;
                // The last packet is longer than the sound.
                let beyond = usize::try_from(packet.trim_end.get()).unwrap_or(usize::MAX);
                mixed.truncate(count.saturating_sub(beyond));
                let skipped = (*pre_skip).min(mixed.len());
                mixed.drain(..skipped);
                *pre_skip -= skipped;
                mixed.iter_mut().for_each(|sample| *sample = bounded(*sample));
            }
            Self::Other { decoder, channels, interleaved } => {
                let decoded = decoder.decode(packet).map_err(SoundFileError::of)?;
                let spec = decoded.spec();
                if (spec.rate(), spec.channels().count()) != (rate, *channels) {
                    return Err(SoundFileError::Damaged("the format changes in the middle".into()));
                }
                decoded.copy_to_vec_interleaved(interleaved);
                let mix = |frame: &[f32]| bounded(frame.iter().sum::<f32>() / *channels as f32);
                mixed.extend(interleaved.chunks_exact(*channels).map(mix));
            }
        }
        Ok(())
    }

    /// Checks the whole sound at its end, as far as the file says what it should be.
    fn check_end(&mut self) -> Result<(), SoundFileError> {
        if let Self::Other { decoder, .. } = self
            && decoder.finalize().verify_ok == Some(false)
        {
            return Err(SoundFileError::Damaged("the sound is not the one whose digest it has".into()));
        }
        Ok(())
    }
}

/// Checks how many channels a WAV file says it has: the library multiplies before it looks, which may overflow.
fn check_wav_channels(file: &[u8]) -> Result<(), SoundFileError> {
    // After the header of the file, chunk by chunk: each has a name and a length, and is padded to an even one.
    let mut rest = file.get(12..).unwrap_or_default();
    while let [n0, n1, n2, n3, l0, l1, l2, l3, content @ ..] = rest {
        if [*n0, *n1, *n2, *n3] == *b"fmt "
            && let [_, _, low, high, ..] = content
        {
            let channels = u16::from_le_bytes([*low, *high]);
            if usize::from(channels) > MAX_CHANNELS {
                return Err(SoundFileError::Unsupported(format!("the sound has {channels} channels")));
            }
        }
        let length = u64::from(u32::from_le_bytes([*l0, *l1, *l2, *l3])).next_multiple_of(2);
        rest = usize::try_from(length).ok().and_then(|length| content.get(length..)).unwrap_or_default();
    }
    Ok(())
}

/// A sample that can be played: files of floating point may have any.
fn bounded(sample: f32) -> f32 {
    if sample.is_nan() { 0.0 } else { sample.clamp(-1.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A WAV file: `kind` 1 is PCM, 3 is floating point.
    fn wav(kind: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Bytes {
        let block = channels.wrapping_mul(bits / 8);
        let mut file = Vec::from(*b"RIFF");
        file.extend((36 + data.len() as u32).to_le_bytes());
        file.extend(*b"WAVEfmt ");
        file.extend(16_u32.to_le_bytes());
        file.extend([kind.to_le_bytes(), channels.to_le_bytes()].concat());
        file.extend([rate.to_le_bytes(), (rate.wrapping_mul(block.into())).to_le_bytes()].concat());
        file.extend([block.to_le_bytes(), bits.to_le_bytes()].concat());
        file.extend(*b"data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file.into()
    }

    /// All samples of a file, and its rate.
    fn decoded(file: Bytes) -> Result<(Vec<f32>, u32), SoundFileError> {
        let mut file = SoundFile::open(file)?;
        let mut samples = Vec::new();
        while let Some(piece) = file.next_samples()? {
            samples.extend_from_slice(piece);
        }
        Ok((samples, file.rate()))
    }

    fn bytes(samples: &[i16]) -> Vec<u8> {
        samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
    }

    #[test]
    fn channels_are_mixed_and_every_width_is_read() {
        let stereo = bytes(&[16_384, 0, -16_384, -16_384, 0, 8_192]);
        assert_eq!(decoded(wav(1, 2, 44_100, 16, &stereo)), Ok((vec![0.25, -0.5, 0.125], 44_100)));
        assert_eq!(decoded(wav(1, 1, 8_000, 8, &[128, 192, 0])), Ok((vec![0.0, 0.5, -1.0], 8_000)));
        let wide = [0, 0, 0x40, 0, 0, 0xc0];
        assert_eq!(decoded(wav(1, 1, 48_000, 24, &wide)), Ok((vec![0.5, -0.5], 48_000)));
        let floats = [0.5_f32, 2.0, f32::NAN, f32::NEG_INFINITY].map(f32::to_le_bytes).concat();
        assert_eq!(decoded(wav(3, 1, 192_000, 32, &floats)), Ok((vec![0.5, 1.0, 0.0, -1.0], 192_000)));
    }

    #[test]
    fn a_wav_from_a_pipe_has_no_length_and_ends_where_it_ends() {
        let whole = wav(1, 1, 16_000, 16, &bytes(&[100; 5_000]));
        for length in [u32::MAX, 0x7fff_f000, 20_000] {
            let mut file = whole.to_vec();
            file[4..8].copy_from_slice(&length.saturating_add(36).to_le_bytes());
            file[40..44].copy_from_slice(&length.to_le_bytes());
            let (samples, _) = decoded(file.into()).expect("should be decoded");
            assert_eq!(samples.len(), 5_000, "{length}");
        }
    }

    #[test]
    fn what_is_no_sound_or_none_that_is_decoded_is_refused() {
        let samples = bytes(&[0; 100]);
        let format = SoundFileError::Format;
        for file in ["", "RIFF", "RIFF\0\0\0\0AVI ", "fLa", "OggX", "ID3\x04", "<html>"] {
            assert_eq!(decoded(Bytes::from_static(file.as_bytes())).unwrap_err(), format, "{file}");
        }
        for (file, words) in [
            (wav(1, 1, 7_999, 16, &samples), "a rate of 7999 Hz"),
            (wav(1, 1, 192_001, 16, &samples), "a rate of 192001 Hz"),
            (wav(1, 9, 48_000, 16, &samples), "9 channels"),
            (wav(1, 40_000, 48_000, 32, &samples), "40000 channels"),
            (wav(0x55, 1, 48_000, 16, &samples), "unusual"),
        ] {
            let error = decoded(file).unwrap_err();
            assert!(matches!(error, SoundFileError::Unsupported(_)), "{error:?}");
            assert!(error.to_string().contains(words), "{error}");
        }
        for file in [&b"RIFF\x04\0\0\0WAVE"[..], b"fLaC\0\0\0\x22", b"OggS\0\x02"] {
            let error = decoded(Bytes::copy_from_slice(file)).unwrap_err();
            assert!(!matches!(error, SoundFileError::Format), "{file:?}: {error:?}");
        }
    }
}
