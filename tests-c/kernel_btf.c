/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* What kernel_btf.h declares. */
#include "support.h"

/* All of it, NULL until it has been read and indexed. */
static const char *blob;
static const char *strings;
static __u32 string_bytes;
/* types[id], from 1 on; the types follow one another, and their ids count up. */
static const struct btf_type **types;
static __u32 type_count;

static char *read_file(const char *path, size_t *size)
{
	size_t room = 64 << 20;
	char *data;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	data = malloc(room);
	assert_non_null(data);
	*size = 0;
	while ((got = read(fd, data + *size, room - *size)) > 0)
		*size += got;
	close(fd);
	assert_int_equal(got, 0);
	assert_in_range(*size, sizeof(struct btf_header), room - 1);
	return realloc(data, *size);
}

/* The number of bytes that follow a type's header. */
static size_t extra_bytes(const struct btf_type *type)
{
	size_t members = BTF_INFO_VLEN(type->info);

	switch (BTF_INFO_KIND(type->info)) {
	case BTF_KIND_INT:
	case BTF_KIND_DECL_TAG:
		return sizeof(__u32);
	case BTF_KIND_VAR:
		return sizeof(struct btf_var);
	case BTF_KIND_ARRAY:
		return sizeof(struct btf_array);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return members * sizeof(struct btf_member);
	case BTF_KIND_DATASEC:
		return members * sizeof(struct btf_var_secinfo);
	case BTF_KIND_ENUM:
		return members * sizeof(struct btf_enum);
	case BTF_KIND_ENUM64:
		return members * 3 * sizeof(__u32);
	case BTF_KIND_FUNC_PROTO:
		return members * sizeof(struct btf_param);
	case BTF_KIND_PTR:
	case BTF_KIND_FWD:
	case BTF_KIND_TYPEDEF:
	case BTF_KIND_VOLATILE:
	case BTF_KIND_CONST:
	case BTF_KIND_RESTRICT:
	case BTF_KIND_FUNC:
	case BTF_KIND_FLOAT:
	case BTF_KIND_TYPE_TAG:
		return 0;
	}
	fail_msg("the kernel's BTF has a type of unknown kind %u", (unsigned int)BTF_INFO_KIND(type->info));
	return 0;
}

bool kernel_has_btf(void)
{
	const struct btf_header *header;
	const char *at, *end;
	char *data;
	size_t size;

	if (blob)
		return true;
	data = read_file("/sys/kernel/btf/vmlinux", &size);
	if (!data)
		return false;
	header = (const void *)data;
	assert_int_equal(header->magic, BTF_MAGIC);
	strings = data + header->hdr_len + header->str_off;
	string_bytes = header->str_len;
	at = data + header->hdr_len + header->type_off;
	end = at + header->type_len;
	assert_true(end <= data + size && strings + string_bytes <= data + size);
	assert_in_range(string_bytes, 1, size);
	assert_int_equal(strings[string_bytes - 1], '\0');
	types = calloc(header->type_len / sizeof(struct btf_type) + 2, sizeof(*types));
	assert_non_null(types);
	for (type_count = 1; at < end; type_count++) {
		types[type_count] = (const void *)at;
		at += sizeof(struct btf_type) + extra_bytes((const void *)at);
	}
	assert_ptr_equal(at, end);
	blob = data;
	return true;
}

const struct btf_type *kernel_btf_type(__u32 id)
{
	assert_in_range(id, 1, type_count - 1);
	return types[id];
}

const char *kernel_btf_name(__u32 name_off)
{
	assert_in_range(name_off, 0, string_bytes - 1);
	return strings + name_off;
}

bool kernel_knows(const char *name)
{
	if (!kernel_has_btf())
		skip_test("this kernel has no /sys/kernel/btf/vmlinux to ask about %s", name);
	for (const char *s = strings; s < strings + string_bytes; s += strlen(s) + 1)
		if (!strcmp(s, name))
			return true;
	return false;
}

__u32 kernel_btf_id(const char *name, __u32 kind)
{
	if (!kernel_has_btf())
		return 0;
	for (__u32 id = 1; id < type_count; id++)
		if (BTF_INFO_KIND(types[id]->info) == kind && !strcmp(kernel_btf_name(types[id]->name_off), name))
			return id;
	return 0;
}

__u32 kernel_btf_size(__u32 id)
{
	return id ? kernel_btf_type(id)->size : 0;
}
