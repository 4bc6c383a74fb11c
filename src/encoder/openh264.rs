//! openh264.
