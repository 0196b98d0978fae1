//! Taxi trips with the 19 fields of the replay's Avro schema, in the order of their drop-off.

use tripline_model::time::rfc3339;

use super::random::Random;

/// 2018-01-05T08:00:00Z.
const START_MS: u64 = 1_515_139_200_000;
/// New York had about 12,000 trips an hour.
const GAP_MS: u64 = 300;

/// Zones by borough, of the TLC's 265, with the share of pickups in a thousand: the busiest of each.
const ZONES: [(&[u64], u64); 7] = [
    (&[4, 12, 13, 24, 41, 42, 43, 45, 48, 50, 68, 74, 75, 79, 87, 88, 90, 100, 107, 113, 114, 137, 140], 440),
    (&[141, 142, 143, 144, 148, 151, 152, 158, 161, 162, 163, 164, 166, 170, 186, 211, 230, 231, 234], 410),
    (&[7, 70, 82, 95, 129, 130, 132, 138, 145, 146, 179, 193, 215, 223, 226], 75),
    (&[17, 25, 33, 37, 49, 61, 65, 66, 80, 97, 106, 112, 181, 189, 255], 45),
    (&[3, 18, 42, 47, 51, 69, 119, 159, 168, 169, 247], 12),
    (&[264, 265], 15),
    (&[1, 5, 6, 23, 44, 206], 3),
];

/// Trips without end, as compact JSON.
#[derive(Clone, Debug)]
pub struct Trips {
    random: Random,
    clock_ms: u64,
    next_id: u64,
}

impl Trips {
    /// The trips of a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), clock_ms: START_MS, next_id: 1_000_000_000 }
    }

    fn zone(&mut self) -> u64 {
        let zones = self.random.weighted(&ZONES).unwrap_or_default();
        let place = usize::try_from(self.random.below(zones.len() as u64)).unwrap_or_default();
        zones.get(place).copied().unwrap_or(264)
    }

    /// Two draws give a hump: most trips are short, few take hours.
    fn seconds(&mut self) -> u64 {
        60 + self.random.below(1_300) * self.random.below(1_300) / 1_000
    }

    fn trip(&mut self) -> String {
        self.clock_ms += self.random.below(2 * GAP_MS);
        let drop_off = self.clock_ms / 1_000;
        let seconds = self.seconds();
        let green = self.random.one_in_thousand(80);
        let (pickup_zone, drop_off_zone) = (self.zone(), self.zone());
        let distance = seconds * (60 + self.random.below(100)) / 360; // hundredths of a mile
        let rate = if self.random.one_in_thousand(970) { 1 } else { 2 + self.random.below(4) };
        let payment = self.random.weighted(&[(1, 700), (2, 290), (3, 6), (4, 4)]).unwrap_or(1);
        let fare = (250 + distance * 5 / 2 + seconds * 5 / 6) / 50 * 50; // cents, and so on
        let extra = [0, 0, 50, 50, 100].get(self.random.below(5) as usize).copied().unwrap_or_default();
        let tip = if payment == 1 { fare * (100 + self.random.below(200)) / 1_000 } else { 0 };
        let tolls = if self.random.one_in_thousand(40) { 576 } else { 0 };
        let passengers =
            self.random.weighted(&[(1, 71), (2, 14), (3, 4), (4, 2), (5, 5), (6, 4)]).unwrap_or(1);
        let id = self.next_id;
        self.next_id += 1;
        format!(
            concat!(
                r#"{{"vendor_id":{},"pickup_datetime":"{}","dropoff_datetime":"{}","passenger_count":{},"#,
                r#""trip_distance":{},"ratecode_id":{},"store_and_fwd_flag":"{}","pickup_location_id":{},"#,
                r#""dropoff_location_id":{},"payment_type":{},"fare_amount":{},"extra":{},"mta_tax":0.5,"#,
                r#""tip_amount":{},"tolls_amount":{},"improvement_surcharge":0.3,"total_amount":{},"#,
                r#""trip_id":{},"type":"{}"}}"#
            ),
            1 + u8::from(self.random.one_in_thousand(560)),
            time(drop_off - seconds),
            time(drop_off),
            passengers,
            decimal(distance),
            rate,
            if self.random.one_in_thousand(4) { "Y" } else { "N" },
            pickup_zone,
            drop_off_zone,
            payment,
            decimal(fare),
            decimal(extra),
            decimal(tip),
            decimal(tolls),
            decimal(fare + extra + 50 + tip + tolls + 30),
            id,
            if green { "green" } else { "yellow" },
        )
    }
}

impl Iterator for Trips {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        Some(self.trip())
    }
}

fn time(seconds: u64) -> String {
    rfc3339(i64::try_from(seconds * 1_000).unwrap_or_default())
}

/// Hundredths as the shortest decimal number.
fn decimal(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
