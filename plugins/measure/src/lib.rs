//! Measures texts, quantities and shapes: a component that uses every kind of WIT value but resources.

mod text;
mod units;

wit_bindgen::generate!({ path: "wit", world: "measure" });

struct Measure;

impl Guest for Measure {
    fn greet(name: String) -> String {
        format!("Hello, {name}!")
    }

    fn count(text: String) -> Counts {
        text::count(&text)
    }

    fn words(text: String, limit: Option<u32>) -> Vec<Word> {
        text::words(&text, limit)
    }

    fn check(text: String, what: Aspects, width: u32) -> Vec<Finding> {
        text::check(&text, what, width)
    }

    fn summary(text: String, width: u32) -> Aspects {
        text::summary(&text, width)
    }

    fn area(of: Shape) -> f64 {
        match of {
            Shape::Nothing => 0.0,
            Shape::Circle(radius) => core::f64::consts::PI * radius * radius,
            Shape::Rectangle((width, height)) => width * height,
            Shape::Polygon(corners) => polygon_area(&corners),
        }
    }

    fn integers(texts: Vec<String>) -> Vec<(String, Result<i64, String>)> {
        texts
            .into_iter()
            .map(|text| {
                let value = text.trim().parse::<i64>().map_err(|e| e.to_string());
                (text, value)
            })
            .collect()
    }

    fn checksum(data: Vec<u8>) -> u32 {
        !data.iter().fold(!0, |crc: u32, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
        })
    }
}

/// The shoelace formula; corners in either direction.
fn polygon_area(corners: &[Point]) -> f64 {
    let next = corners.iter().cycle().skip(1);
    let twice: f64 = corners.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum();
    twice.abs() / 2.0
}

export!(Measure);
