//! The story that `make run` shows to a newcomer.

use crate::support::{Ended, Home};

#[tokio::test]
async fn the_story_of_the_demo_ends_well() {
    let home = Home::new();
    let said = Ended::of(home.command(&["demo"])).await.succeeded();
    for part in [
        "byte for byte",
        "it is paused",
        "arrived in order",
        "The secret was rotated",
        "Only the new secret signs",
    ] {
        // Lines are wrapped.
        let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(part), "{part:?} is not in: {said}");
    }
}
