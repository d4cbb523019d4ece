//! stub
#[derive(Debug, Clone, PartialEq)] pub struct RegionReport { pub region: String, pub replica: String, pub boot_id: u64, pub seq: u64, pub healthy_weight_fraction: f64 }
