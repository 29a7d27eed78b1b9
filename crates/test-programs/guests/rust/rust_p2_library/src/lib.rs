//! A library: nothing to run, and functions over every kind of type that WIT has.

// The lints do not apply to the output of `generate!`.
#![allow(clippy::all, reason = "generated code")]

use std::{cell::Cell, f64::consts::PI, hint::black_box};

wit_bindgen::generate!({ path: "wit", world: "library" });

use exports::acme::shapes::shapes::{Color, Counter, Fault, Guest as Shapes, GuestCounter, Labeled, Shape, Style};

struct Library;
export!(Library);

impl Guest for Library {
    fn greet(name: String) -> String {
        format!("hello, {name}")
    }
}

impl Shapes for Library {
    type Counter = Count;

    fn area(shape: Shape) -> Result<f64, Fault> {
        match shape {
            Shape::Circle(circle) if circle.radius < 0.0 => Err(Fault::NegativeRadius(circle.radius)),
            Shape::Circle(circle) => Ok(PI * circle.radius * circle.radius),
            Shape::Polygon(points) if points.len() < 3 => Err(Fault::TooFewPoints(points.len() as u32)),
            Shape::Polygon(points) => {
                let next = points.iter().cycle().skip(1);
                let twice: f64 = points.iter().zip(next).map(|(a, b)| a.x * b.y - b.x * a.y).sum();
                Ok(twice.abs() / 2.0)
            }
            Shape::Empty => Err(Fault::Other("nothing has no area".to_owned())),
        }
    }

    fn describe(thing: Labeled) -> String {
        let shape = match &thing.shape {
            Shape::Circle(circle) => format!("circle of radius {}", circle.radius),
            Shape::Polygon(points) => format!("polygon of {} points", points.len()),
            Shape::Empty => "nothing".to_owned(),
        };
        let color = match thing.color {
            Color::Red => "red",
            Color::Green => "green",
            Color::Blue => "blue",
        };
        let filled = if thing.style.contains(Style::FILLED) { "filled " } else { "" };
        let label = thing.label.map(|label| format!(", called {label}")).unwrap_or_default();
        format!("a {filled}{color} {shape}{label}")
    }

    fn mix(colors: Vec<Color>) -> Option<Color> {
        colors.first().copied()
    }

    fn styles() -> Style {
        Style::FILLED | Style::BOLD
    }

    fn swap((number, text): (u32, String)) -> (String, u32) {
        (text, number)
    }

    fn check(ok: bool) -> Result<(), ()> {
        ok.then_some(()).ok_or(())
    }

    fn sum(numbers: Vec<u64>) -> u64 {
        numbers.into_iter().fold(0, u64::wrapping_add)
    }

    fn add(left: i32, right: i32) -> i32 {
        left.wrapping_add(right)
    }

    fn negate(number: i64) -> i64 {
        number.wrapping_neg()
    }

    fn halve(number: f32) -> f32 {
        number / 2.0
    }

    fn small(a: u8, b: i8, c: u16, d: i16) -> (u8, i8, u16, i16) {
        (a, b, c, d)
    }

    fn next_char(letter: char) -> Option<char> {
        char::from_u32(u32::from(letter) + 1)
    }

    fn reverse(text: String) -> String {
        text.chars().rev().collect()
    }

    fn bytes(count: u32) -> Vec<u8> {
        (0..count).map(|index| index as u8).collect()
    }

    fn nothing() {}

    fn nested(lists: Vec<Vec<Option<u32>>>) -> u32 {
        lists.into_iter().flatten().flatten().fold(0, u32::wrapping_add)
    }

    fn trap() -> u32 {
        std::arch::wasm32::unreachable()
    }

    fn forever() {
        loop {
            black_box(0);
        }
    }
}

struct Count(Cell<u32>);

impl GuestCounter for Count {
    fn new(start: u32) -> Self {
        Self(Cell::new(start))
    }

    fn next(&self) -> u32 {
        self.0.replace(self.0.get().wrapping_add(1))
    }

    fn combine(left: Counter, right: Counter) -> Counter {
        let sum = left.get::<Count>().0.get().wrapping_add(right.get::<Count>().0.get());
        Counter::new(Count::new(sum))
    }
}
