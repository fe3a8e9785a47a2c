/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Counts its arguments in a BPF map. An example of a project that uses libbpf: neither this
 * program nor the build files in this directory mention any other library.
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <unistd.h>

struct word {
	char text[16];
};

static int die(const char *what, int err)
{
	fprintf(stderr, "count: %s: %s\n", what, strerror(-err));
	return 1;
}

int main(int argc, char **argv)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	struct word word, next;
	void *previous = NULL;
	__u32 count;
	int err;
	int map = bpf_map_create(BPF_MAP_TYPE_HASH, "words", sizeof(word), sizeof(count), 1024, &opts);

	if (map < 0)
		return die("no map", map);
	for (int i = 1; i < argc; i++) {
		memset(&word, 0, sizeof(word));
		strncpy(word.text, argv[i], sizeof(word.text) - 1);
		if (bpf_map_lookup_elem(map, &word, &count) < 0)
			count = 0;
		count++;
		err = bpf_map_update_elem(map, &word, &count, BPF_ANY);
		if (err < 0)
			return die(argv[i], err);
	}
	for (; bpf_map_get_next_key(map, previous, &next) == 0; previous = &word) {
		word = next;
		err = bpf_map_lookup_elem(map, &word, &count);
		if (err < 0)
			return die(word.text, err);
		printf("%s %u\n", word.text, count);
	}
	close(map);
	return 0;
}
