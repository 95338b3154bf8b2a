use anyhow::Result;

use crate::arguments::DemoOptions;

pub(crate) async fn run(_: DemoOptions) -> Result<()> {
    Ok(())
}
