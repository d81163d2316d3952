//! `once seeds DIR` writes the initial files to DIR/PARSER/; `once PARSER FILE…` passes files to a parser.

use std::{env, fs};

use coretrace::fuzz::{PARSERS, quiet};

fn main() {
    quiet();
    let args: Vec<String> = env::args().skip(1).collect();
    match args.as_slice() {
        [what, dir] if what == "seeds" => {
            for (name, _, seeds) in PARSERS {
                fs::create_dir_all(format!("{dir}/{name}")).expect("making the directory");
                for (n, bytes) in seeds().iter().enumerate() {
                    fs::write(format!("{dir}/{name}/{n}"), bytes).expect("writing");
                }
            }
        }
        [parser, files @ ..] => {
            let (_, parse, _) = PARSERS.into_iter().find(|(name, ..)| name == parser).expect("a parser");
            for file in files {
                println!("{file}");
                parse(&fs::read(file).expect("reading"));
            }
        }
        [] => println!("once seeds DIR | once PARSER FILE…"),
    }
}
