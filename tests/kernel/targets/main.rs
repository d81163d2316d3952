//! Placeholder for the programs that the live tests trace.
fn main() {
    println!("targets");
}
