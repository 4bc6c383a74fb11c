//! Unplugging and replugging the sound card: the viewer keeps its session, receives silence meanwhile, and then audio
//! again.

// --nocapture shows the times.
#![allow(clippy::print_stdout)]

use std::time::{Duration, Instant};

use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::observer::{AudioContent, Observer};
use crate::scenarios::{BACK_WITHIN, CONFIGURATION, median};

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn quick_a_sound_card_recovers_from_an_unplug() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_audio(AudioContent::Tone);
        unplug(&board, &mut viewer);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_sound_card_recovers_from_twenty_unplugs() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Observer::connect(&board.url(), "camera");
        viewer.expect_audio(AudioContent::Tone);
        // Allocations of the first round may stay.
        unplug(&board, &mut viewer);
        let holdings = board.holdings();
        let times: Vec<Duration> = (0..20).map(|_| unplug(&board, &mut viewer)).collect();
        board.holds_no_more_than(holdings);
        println!("the tone was back after {times:.1?}");
        assert!(median(&times) <= BACK_WITHIN, "times until the tone was back: {times:?}");
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}

/// Unplugs the sound card until the viewer receives silence, plugs it in, and returns the time until the tone is back,
/// including the player's start and a few packets of tone.
fn unplug(board: &Board, viewer: &mut Observer) -> Duration {
    board.unplug_sound_card();
    viewer.expect_audio(AudioContent::Silence);
    let plugged = Instant::now();
    board.plug_sound_card();
    viewer.expect_audio(AudioContent::Tone);
    plugged.elapsed()
}
