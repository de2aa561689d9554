//! `marram-jail`: binds itself as its arguments say, then becomes the component's script (SEC-130).

fn main() -> std::process::ExitCode {
    marram_launch::main(std::env::args_os().skip(1))
}
