// SPDX-License-Identifier: MIT OR Apache-2.0
//! libbpf-sys asks for libbpf without saying where it is: pkg-config knows.

fn main() {
    pkg_config::Config::new().atleast_version("1.0").probe("libbpf").expect("pkg-config libbpf");
}
