//! A sound card that is pulled out and plugged in: the sound comes back in the same session.

use crate::eyewitness::{Eyewitness, Noise};
use crate::guest::Guest;
use crate::machine::Board;
use crate::namespace::isolated;
use crate::scenarios::CONFIGURATION;

#[test]
#[ignore = "boots an emulated board: `make board`"]
fn a_sound_card_that_was_unplugged_twenty_times_is_back_twenty_times() {
    isolated(|| {
        let board = Board::boot(Guest::with_porthole(CONFIGURATION));
        board.start_porthole();
        let mut viewer = Eyewitness::connect(&board.url(), "camera");
        viewer.hears(Noise::Tone);
        let holdings = board.holdings();
        for _ in 0..20 {
            board.unplug_sound_card();
            board.plug_sound_card();
            viewer.hears(Noise::Tone);
        }
        board.holds_no_more_than(holdings);
        viewer.leave();
        assert!(!board.log().contains("panicked"), "nothing should panic");
    });
}
