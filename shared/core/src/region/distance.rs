//! Distance on the globe.

use crate::config::model::Location;

const EARTH_RADIUS_KM: f64 = 6371.0;

/// Great-circle distance in kilometres, by the haversine formula, which stays exact for near points.
#[must_use]
pub(super) fn kilometres(a: Location, b: Location) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let half_lat = (lat_b - lat_a) / 2.0;
    let half_lon = (b.longitude - a.longitude).to_radians() / 2.0;
    let h = half_lat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half_lon.sin().powi(2);
    2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(latitude: f64, longitude: f64) -> Location {
        Location {
            latitude,
            longitude,
        }
    }

    #[test]
    fn known_distances() {
        let (paris, new_york) = (at(48.8566, 2.3522), at(40.7128, -74.0060));
        assert!((kilometres(paris, new_york) - 5837.0).abs() < 10.0);
        assert!(kilometres(paris, paris) < 1e-9);
        assert!(
            (kilometres(at(0.0, 179.5), at(0.0, -179.5)) - 111.2).abs() < 1.0,
            "date line"
        );
    }
}
