// SPDX-License-Identifier: MIT OR Apache-2.0
// The program of count.c, in C++.
#include <bpf/bpf.h>

#include <array>
#include <iostream>
#include <system_error>

#include <unistd.h>

using Word = std::array<char, 16>;

static int checked(int result, const char *what)
{
	if (result < 0)
		throw std::system_error(-result, std::generic_category(), what);
	return result;
}

int main(int argc, char **argv)
try {
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	opts.map_flags = BPF_F_NO_PREALLOC;
	const int map = checked(bpf_map_create(BPF_MAP_TYPE_HASH, "words", sizeof(Word), sizeof(__u32), 1024, &opts), "no map");

	for (int i = 1; i < argc; i++) {
		Word word{};
		std::string(argv[i]).copy(word.data(), word.size() - 1);
		__u32 count = 0;
		bpf_map_lookup_elem(map, word.data(), &count);
		count++;
		checked(bpf_map_update_elem(map, word.data(), &count, BPF_ANY), argv[i]);
	}
	Word word, next;
	for (void *previous = nullptr; bpf_map_get_next_key(map, previous, next.data()) == 0; previous = word.data()) {
		__u32 count;
		word = next;
		checked(bpf_map_lookup_elem(map, word.data(), &count), word.data());
		std::cout << word.data() << ' ' << count << '\n';
	}
	close(map);
} catch (const std::system_error &error) {
	std::cerr << "count++: " << error.what() << '\n';
	return 1;
}
