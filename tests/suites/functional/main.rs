//! What any proxy must do: the same tests for one tier of ours, for both, and for nginx as the control,
//! which shows that the tests ask for nothing strange.

#![allow(
    clippy::duplicate_mod,
    reason = "the same tests once for each proxy, told apart by their module's name"
)]

macro_rules! subjects {
    ($($name:ident = $kind:ident),*) => {$(
        #[path = "."]
        mod $name {
            const KIND: strata_tests::subject::Kind = strata_tests::subject::Kind::$kind;

            #[path = "bodies.rs"]
            mod bodies;
            #[path = "grpc.rs"]
            mod grpc;
            #[path = "messages.rs"]
            mod messages;
            #[path = "traffic.rs"]
            mod traffic;
            #[path = "websocket.rs"]
            mod websocket;
        }
    )*};
}

subjects!(regional = Regional, two_tier = TwoTier, nginx = Nginx);
