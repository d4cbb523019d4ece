//! Operators' orders on servers that were found.

use anyhow::{Result, ensure};
use strata_tests::{eventually, http};

use crate::bed::{Bed, Is, SOON};

#[tokio::test]
async fn a_server_that_was_found_is_drained_and_stays_so_when_it_is_listed_again() -> Result<()> {
    let bed = Bed::start(3).await?;
    bed.until(&[1, 2, 3]).await?;
    let told = bed.lbctl("server drain app/pod-1 --reason disk").await?;
    ensure!(told.0 == 0, "{}", told.1);
    bed.until(&[2, 3]).await?;
    let unknown = bed.lbctl("server drain app/pod-9 --reason disk").await?;
    ensure!(
        unknown.0 != 0 && unknown.1.contains("pod-1, pod-2, pod-3"),
        "{}",
        unknown.1
    );
    // Its pod's slice goes, and comes back.
    bed.forget(1);
    bed.until_servers(&["pod-2", "pod-3"]).await?;
    bed.say(1, Is::Ready)?;
    bed.until_servers(&["pod-1", "pod-2", "pod-3"]).await?;
    bed.until(&[2, 3]).await?;
    // The order can be taken back while the server is not there, too.
    bed.forget(1);
    bed.until_servers(&["pod-2", "pod-3"]).await?;
    let told = bed.lbctl("server undrain app/pod-1").await?;
    ensure!(told.0 == 0, "{}", told.1);
    bed.say(1, Is::Ready)?;
    bed.until(&[1, 2, 3]).await
}

#[tokio::test]
async fn the_last_server_that_was_found_is_not_drained_by_mistake() -> Result<()> {
    let bed = Bed::start(1).await?;
    bed.until(&[1]).await?;
    let told = bed.lbctl("server drain app/pod-1 --reason disk").await?;
    ensure!(told.1.contains("last_server"), "{}", told.1);
    eventually(SOON, "an answer", async || {
        ensure!(http::get(bed.address, "/").await?.status == 200);
        Ok(())
    })
    .await
}
