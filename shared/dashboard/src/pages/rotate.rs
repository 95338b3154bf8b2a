//! The rotation of a secret: its beginning, its end, and how it is undone.

use statuspulse_core::admin::commands::NewSecret;
use statuspulse_core::admin::rotate::Rotated;

use super::confirm::confirm;
use super::webhook::said;
use crate::Answer;
use crate::flash::Flash;
use crate::forms::{Path, id};
use crate::session::Manager;
use crate::show::moment;

pub(super) async fn rotate(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let rotated = viewer.admin.rotate_secret(by, id, NewSecret::default()).await;
    said(
        id,
        rotated.map(|Rotated { secret, until, choice }| {
            let text = format!(
                "This is the new secret. The old one also signs until {}. Install the new one at any time until then: nothing \
                 has to be timed. {}",
                moment(until),
                choice.reason(),
            );
            Flash::secret(text, secret.reveal())
        }),
    )
}

pub(super) async fn finish(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let done = viewer.admin.finish_rotation(by, id).await;
    said(id, done.map(|_| Flash::good("The old secret no longer signs requests.")))
}

pub(super) async fn cancel(Manager(viewer, by): Manager, path: Path<String>) -> Answer {
    let id = id(&path, "webhook")?;
    let done = viewer.admin.cancel_rotation(by, id).await;
    said(id, done.map(|_| Flash::good("The rotation was undone. Only the old secret signs requests.")))
}

pub(super) async fn ask_rotate(manager: Manager, path: Path<String>) -> Answer {
    let about = |name: &str, _| {
        (
            format!("Rotate the secret of {name}?"),
            "A new secret is created and shown once. For 24 hours both secrets sign. Install the new one at any time until \
             then: no event is missed, and nothing has to be timed. Your endpoint gets a handshake first, which shows how to \
             send two signatures."
                .to_owned(),
        )
    };
    confirm(manager, &path, about, ("rotate", "Create new secret")).await
}

pub(super) async fn ask_finish(manager: Manager, path: Path<String>) -> Answer {
    let about = |name: &str, _| {
        (
            format!("End the old secret of {name} now?"),
            "Only the new secret will sign. A receiver that still uses the old one will refuse every delivery."
                .to_owned(),
        )
    };
    confirm(manager, &path, about, ("rotate/finish", "End the old secret now")).await
}

pub(super) async fn ask_cancel(manager: Manager, path: Path<String>) -> Answer {
    let about = |name: &str, _| {
        (
            format!("Undo the rotation of {name}?"),
            "Only the old secret will sign. A receiver that already uses the new one will refuse every delivery."
                .to_owned(),
        )
    };
    confirm(manager, &path, about, ("rotate/cancel", "Undo the rotation")).await
}
