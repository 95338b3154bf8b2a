//! The account: the Slack channel of its engineers, its allowed domains, and the egress addresses.

use askama::Template;
use axum::body::Body;
use statuspulse_core::admin::commands::AccountPatch;
use statuspulse_core::admin::probe::TestResult;
use statuspulse_core::error::Error;
use statuspulse_core::quota::Quota;

use super::confirm::ConfirmPage;
use crate::Answer;
use crate::flash::Flash;
use crate::forms::Form;
use crate::guard::{html, see};
use crate::refused::in_words;
use crate::session::{Manager, Viewer};
use crate::show::{Frame, length};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    slack: Option<String>,
    deployment_tells: bool,
    domains: Vec<String>,
    egress: Vec<String>,
    /// What each quota bounds, and its value.
    quotas: Vec<(&'static str, String)>,
}

pub(super) async fn show(viewer: Viewer) -> Answer {
    let account = viewer.admin.account(viewer.account).await?;
    let page = AccountPage {
        frame: viewer.frame().await?,
        slack: account.slack.as_ref().map(|url| url.redacted()),
        deployment_tells: viewer.admin.deployment.slack.is_some(),
        domains: account.allowed_domains.as_strings().iter().map(|name| (*name).to_string()).collect(),
        egress: viewer.admin.deployment.egress_ips.clone(),
        quotas: Quota::ALL
            .iter()
            .map(|quota| (quota.meaning(), grouped(account.quotas.of(*quota))))
            .collect(),
    };
    Ok(viewer.said(html(&page)))
}

/// A number with its digits in groups of three, such as "600,000".
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (place, digit) in digits.char_indices() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// Saves the channel if it accepts a test message.
pub(super) async fn set_slack(Manager(viewer, by): Manager, body: Body) -> Answer {
    let form = Form::read(body).await?;
    let flash = match viewer.admin.connect_slack(by, form.text("slack_url")).await {
        Ok(TestResult { ok: true, duration, .. }) => Flash::good(format!(
            "Slack accepted a test message after {}. The channel was saved.",
            length(duration)
        )),
        Ok(TestResult { reason, .. }) => Flash::bad(format!(
            "Slack did not accept a test message, so the channel was not saved. {}",
            reason.unwrap_or_default()
        )),
        Err(refused @ (Error::Invalid(_) | Error::Conflict { .. })) => Flash::bad(in_words(&refused)),
        Err(error) => return Err(error.into()),
    };
    Ok(flash.on(see("account")))
}

pub(super) async fn ask_remove_slack(Manager(viewer, _): Manager) -> Answer {
    let account = viewer.admin.account(viewer.account).await?;
    let Some(slack) = account.slack else { return Ok(see("account")) };
    let then = match viewer.admin.deployment.slack {
        Some(_) => "The operators of this deployment will be notified instead.",
        None => "No one will be notified when a webhook fails or is paused.",
    };
    let page = ConfirmPage {
        detail: format!("Messages go to {}. {then}", slack.redacted()),
        ..ConfirmPage::new(
            viewer.frame().await?,
            "Remove the Slack channel of your engineers?".to_owned(),
            ("/dashboard/account/slack/remove", "Remove the channel"),
            &[("/dashboard/account", "Account")],
        )
    };
    Ok(viewer.said(html(&page)))
}

pub(super) async fn remove_slack(Manager(viewer, by): Manager) -> Answer {
    let patch = AccountPatch { slack_url: Some(None), ..AccountPatch::default() };
    viewer.admin.update_account(by, patch).await?;
    Ok(Flash::good("The channel was removed.").on(see("account")))
}

pub(super) async fn test_slack(Manager(viewer, _): Manager) -> Answer {
    let flash = match viewer.admin.test_slack(viewer.account).await {
        Ok(result) if result.ok => {
            Flash::good(format!("Slack accepted the test after {}.", length(result.duration)))
        }
        Ok(result) => {
            Flash::bad(format!("Slack did not accept the test. {}", result.reason.unwrap_or_default()))
        }
        Err(refused @ Error::Conflict { .. }) => Flash::bad(in_words(&refused)),
        Err(error) => return Err(error.into()),
    };
    Ok(flash.on(see("account")))
}
