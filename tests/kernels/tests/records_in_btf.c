/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Compares every attribute record of the library with union bpf_attr in the
 * BTF of the running kernel.
 *
 * The records are in a table, sysbpf_layout, which is compiled from the source
 * of the library for this architecture. Each member must have the offset and the
 * size of the kernel's member of that name. An older kernel may lack members at
 * the end of a record; a newer one may have more members after its end, but none
 * within it that the record lacks.
 */
#include "support.h"

struct layout_member {
	const char *name; /* in the kernel; "" for padding */
	uint32_t offset, size;
};
struct layout_record {
	const char *name, *of, *at;
	const struct layout_member *members;
	uint32_t count, size;
};
extern const struct layout_record sysbpf_layout[];
extern const uint32_t sysbpf_layout_count;

/* ---- types ---- */

static bool is_aggregate(const struct btf_type *type)
{
	uint32_t kind = BTF_INFO_KIND(type->info);

	return kind == BTF_KIND_STRUCT || kind == BTF_KIND_UNION;
}

static const struct btf_type *skip_modifiers(uint32_t id)
{
	for (;;) {
		const struct btf_type *type = kernel_btf_type(id);

		switch (BTF_INFO_KIND(type->info)) {
		case BTF_KIND_TYPEDEF: case BTF_KIND_CONST: case BTF_KIND_VOLATILE: case BTF_KIND_RESTRICT:
		case BTF_KIND_TYPE_TAG:
			id = type->type;
			continue;
		}
		return type;
	}
}

static uint32_t type_size(uint32_t id)
{
	const struct btf_type *type = skip_modifiers(id);

	if (BTF_INFO_KIND(type->info) == BTF_KIND_ARRAY) {
		const struct btf_array *array = (const void *)(type + 1);

		return array->nelems * type_size(array->type);
	}
	if (BTF_INFO_KIND(type->info) == BTF_KIND_PTR)
		return sizeof(void *);
	return type->size;
}

static const struct btf_type *find_aggregate(const char *name)
{
	__u32 id = kernel_btf_id(name, BTF_KIND_UNION);

	if (!id)
		id = kernel_btf_id(name, BTF_KIND_STRUCT);
	return id ? kernel_btf_type(id) : NULL;
}

/* ---- the members of a kernel struct, as a flat list ---- */

struct flat {
	unsigned int count;
	struct { char name[96]; uint32_t offset, size; bool alternative; } members[256];
};

/* Adds the members of nested structs too: of an anonymous one as "inner", of others as "outer.inner". */
static void flatten(struct flat *flat, const struct btf_type *type, const char *prefix, uint32_t base, bool alternative)
{
	const struct btf_member *member = (const void *)(type + 1);

	alternative |= BTF_INFO_KIND(type->info) == BTF_KIND_UNION;
	for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++, member++) {
		const char *name = kernel_btf_name(member->name_off);
		const struct btf_type *inner = skip_modifiers(member->type);
		bool fields = BTF_INFO_KFLAG(type->info);
		uint32_t bits = fields ? BTF_MEMBER_BIT_OFFSET(member->offset) : member->offset;
		char path[96];

		if (fields && BTF_MEMBER_BITFIELD_SIZE(member->offset))
			continue; /* padding such as ":32"; no member of a record is a bit-field */
		assert_int_equal(bits % 8, 0);
		snprintf(path, sizeof(path), "%s%s", prefix, name);
		if (is_aggregate(inner)) {
			if (*name)
				snprintf(path, sizeof(path), "%s%s.", prefix, name);
			flatten(flat, inner, path, base + bits / 8, alternative);
			continue;
		}
		assert_in_range(flat->count, 0, 255);
		strcpy(flat->members[flat->count].name, path);
		flat->members[flat->count].alternative = alternative;
		flat->members[flat->count].offset = base + bits / 8;
		flat->members[flat->count++].size = type_size(member->type);
	}
}

static int find_member(const struct flat *flat, const char *name)
{
	for (unsigned int i = 0; i < flat->count; i++)
		if (strcmp(flat->members[i].name, name) == 0)
			return i;
	return -1;
}

/*
 * Finds the struct in the union that has this name, or the anonymous one that has
 * a member of this name. False if this kernel has none.
 */
static bool find_struct(struct flat *flat, const char *of, const char *at)
{
	const struct btf_type *type = find_aggregate(of);

	flat->count = 0;
	if (!type)
		return false;
	if (!*at) {
		flatten(flat, type, "", 0, false);
		return true;
	}

	const struct btf_member *member = (const void *)(type + 1);
	for (uint32_t i = 0; i < BTF_INFO_VLEN(type->info); i++, member++) {
		const char *name = kernel_btf_name(member->name_off);

		flat->count = 0;
		flatten(flat, skip_modifiers(member->type), "", 0, false);
		if (*name ? strcmp(name, at) == 0 : find_member(flat, at) >= 0)
			return true;
	}
	flat->count = 0;
	return false;
}

/* ---- the comparison ---- */

/* The length of "outer." in "outer.inner"; 0 for a plain name. */
static size_t prefix_length(const char *name)
{
	const char *dot = strchr(name, '.');

	return dot ? dot - name + 1 : 0;
}

/* A member of the named struct that belongs to the record's type of link, as "outer.inner"; NULL if there is none. */
static const char *record_inner(const struct layout_record *record)
{
	for (uint32_t i = 0; i < record->count; i++)
		if (prefix_length(record->members[i].name))
			return record->members[i].name;
	return NULL;
}

/* Looks up each member of the record. Returns the number of wrong ones, and counts those that this kernel knows. */
static int compare_ours(const struct layout_record *record, const struct flat *kernel, uint32_t *known, uint32_t *named)
{
	uint32_t kernel_end = 0;
	int wrong = 0;

	for (unsigned int i = 0; i < kernel->count; i++)
		if (kernel->members[i].offset + kernel->members[i].size > kernel_end)
			kernel_end = kernel->members[i].offset + kernel->members[i].size;
	for (uint32_t i = 0; i < record->count; i++) {
		const struct layout_member *ours = &record->members[i];
		int at = find_member(kernel, ours->name);

		if (!*ours->name)
			continue;
		++*named;
		if (at < 0) {
			/* Newer than this kernel: after the end of its struct, or in a struct that its union lacks. */
			if (ours->offset < kernel_end && !prefix_length(ours->name)) {
				print_message("# %s.%s at %u: this kernel, whose struct ends at %u, has no such member\n",
					      record->name, ours->name, ours->offset, kernel_end);
				wrong++;
			}
			continue;
		}
		++*known;
		if (kernel->members[at].offset != ours->offset || kernel->members[at].size != ours->size) {
			print_message("# %s.%s: ours at %u, size %u; the kernel's at %u, size %u\n", record->name, ours->name,
				      ours->offset, ours->size, kernel->members[at].offset, kernel->members[at].size);
			wrong++;
		}
	}
	return wrong;
}

/* Each kernel member within the size of the record must be part of it. */
static int compare_theirs(const struct layout_record *record, const struct flat *kernel)
{
	const char *inner = record_inner(record);
	int wrong = 0;

	for (unsigned int k = 0; k < kernel->count; k++) {
		uint32_t start = kernel->members[k].offset, end = start + kernel->members[k].size;
		bool found = start >= record->size;

		/* Of the members of a union, only those for the record's type of link are compared. */
		if (kernel->members[k].alternative &&
		    !(inner && strncmp(kernel->members[k].name, inner, prefix_length(inner)) == 0))
			continue;
		for (uint32_t i = 0; i < record->count; i++) {
			const struct layout_member *ours = &record->members[i];

			if (*ours->name && ours->offset <= start && end <= ours->offset + ours->size)
				found = true;
		}
		if (!found) {
			print_message("# %s: the kernel's %s at %u, size %u is not in the record\n", record->name,
				      kernel->members[k].name, start, end - start);
			wrong++;
		}
	}
	return wrong;
}

static void compare(void **state)
{
	const struct layout_record *record = *state;
	const char *name = *record->at ? record->at : record->of;
	uint32_t known = 0, named = 0;
	struct flat kernel;

	if (!kernel_has_btf())
		skip_test("this kernel has no /sys/kernel/btf/vmlinux");
	if (!find_struct(&kernel, record->of, record->at))
		skip_test("this kernel has no %s%s%s", record->of, *record->at ? " with " : "", record->at);

	const char *inner = record_inner(record);
	bool has_inner = !inner;
	for (unsigned int i = 0; i < kernel.count && inner; i++)
		has_inner |= strncmp(kernel.members[i].name, inner, prefix_length(inner)) == 0;
	if (!has_inner)
		skip_test("this kernel's %s has no %.*s", name, (int)prefix_length(inner) - 1, inner);

	int wrong = compare_ours(record, &kernel, &known, &named);
	wrong += compare_theirs(record, &kernel);
	if (wrong)
		fail_msg("%s is not laid out as this kernel's %s", record->name, name);
	/* A record unknown to the kernel would pass all checks above. */
	assert_in_range(known, 1, named);
	if (known < named)
		print_message("# %s: this kernel knows %u of %u members\n", record->name, known, named);
}

/* For example "LinkCreate<Relative> tcx": a record shared by several types of link is compared for each. */
static void test_name(char *name, size_t size, const struct layout_record *record)
{
	const char *inner = record_inner(record);

	snprintf(name, size, "%s%s%.*s", record->name, inner ? " " : "", inner ? (int)prefix_length(inner) - 1 : 0,
		 inner ? inner : "");
}

static char (*names)[96];

static int begin(void **state)
{
	const struct layout_record *record = *state;
	void *name = names[record - sysbpf_layout];

	return test_begin(&name);
}

int main(void)
{
	struct CMUnitTest *tests = calloc(sysbpf_layout_count, sizeof(*tests));

	names = calloc(sysbpf_layout_count, sizeof(*names));
	if (!tests || !names || !sysbpf_layout_count)
		return 1;
	for (uint32_t i = 0; i < sysbpf_layout_count; i++) {
		test_name(names[i], sizeof(names[i]), &sysbpf_layout[i]);
		tests[i] = (struct CMUnitTest){ names[i], compare, begin, test_end, (void *)&sysbpf_layout[i] };
	}
	return _cmocka_run_group_tests("records_in_btf", tests, sysbpf_layout_count, NULL, NULL);
}
