//! The pipeline of one camera.

use crate::{camera, encoder};

/// One camera with its encoder.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// The source of the pictures.
    pub camera: camera::Config,
    /// How they are encoded.
    pub encoder: encoder::Config,
    /// Whether the camera stays open and encoded while nobody watches.
    pub keep_open: bool,
}
