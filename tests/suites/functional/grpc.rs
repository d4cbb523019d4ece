//! gRPC in all its kinds of call, with a server and a client that we did not write.

use anyhow::{Result, ensure};
use strata_tests::peers;
use strata_tests::subject::{Kind, Subject, Upstream};

#[tokio::test]
async fn all_kinds_of_call_pass_with_their_trailers() -> Result<()> {
    let peer = peers::grpc_server("g1").await?;
    let subject = Subject::start_as(Kind::from_env()?, &[peer.address], Upstream::H2c).await?;
    let report = peers::grpc_client(subject.h2c).await?;
    for (kind, count) in [
        ("unary", "1"),
        ("client_stream", "50"),
        ("server_stream", "50"),
        ("bidi", "20"),
        ("failing", "0"),
    ] {
        let trailers = &report[kind]["trailers"];
        ensure!(
            trailers["x-count"] == count && trailers["x-served-by"] == "g1",
            "{report}"
        );
    }
    Ok(())
}
