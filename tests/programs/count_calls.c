// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * An auditing library for the dynamic linker (LD_AUDIT, see rtld-audit(7)): counts
 * the calls that reach libsysbpf.so, from any object, in the file that SYSBPF_CALLS
 * names. The file is an array of `struct slot`.
 *
 * When the linker binds an entry of a procedure linkage table to a function of the
 * library, this library gives it the address of a trampoline, which counts the call and
 * jumps to the function. (The linker's own hook for calls is not used for
 * objects loaded with RTLD_NOW, as Python does.) Calls without a linkage table entry are
 * not counted: -fno-plt, function pointers.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef __x86_64__
#error "the trampolines are written for x86_64 only"
#endif

enum { SLOTS = 64 };

struct slot {
	unsigned long calls;
	char name[56];
} *slots;
void *targets[SLOTS];

/* Trampoline N, of TRAMPOLINE_SIZE bytes: slots[N].calls += 1; jump to targets[N]. */
extern const char trampolines[];
enum { TRAMPOLINE_SIZE = 32 };
__asm__(".globl slots, targets\n"
	".hidden slots, targets, trampolines\n"
	".text\n"
	".balign 32\n"
	"trampolines:\n"
	".set number, 0\n"
	".rept 64\n"
	"	endbr64\n"
	"	mov slots(%rip), %r11\n" /* r11 is reserved for linkage tables */
	"	lock incq 64 * number(%r11)\n"
	"	jmp *8 * number + targets(%rip)\n"
	"	.balign 32\n"
	"	.set number, number + 1\n"
	".endr\n");

unsigned int la_version(unsigned int version)
{
	const char *path = getenv("SYSBPF_CALLS");
	int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;

	(void)version;
	/* Without the file, a run would look as if it had called nothing. */
	if (fd < 0 || ftruncate(fd, SLOTS * sizeof(struct slot)))
		abort();
	slots = mmap(NULL, SLOTS * sizeof(struct slot), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (slots == MAP_FAILED)
		abort();
	close(fd);
	return LAV_CURRENT;
}

unsigned int la_objopen(struct link_map *object, Lmid_t ns, uintptr_t *cookie)
{
	const char *name = strrchr(object->l_name, '/');

	(void)ns;
	*cookie = name && !strncmp(name, "/libsysbpf.so", 13);
	return LA_FLG_BINDTO | LA_FLG_BINDFROM;
}

uintptr_t la_symbind64(Elf64_Sym *symbol, unsigned int index, uintptr_t *from, uintptr_t *to, unsigned int *flags,
		       const char *name)
{
	(void)index, (void)flags;
	if (!*to || *from)
		return symbol->st_value;
	for (int i = 0; i < SLOTS; i++) {
		/* Another process of the same run may write names too. */
		if (!slots[i].name[0]) {
			char expected = 0;

			/* The last byte is set while a name is written, the first byte when it is complete. */
			if (__atomic_compare_exchange_n(&slots[i].name[55], &expected, 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
				strncpy(slots[i].name + 1, name + 1, 53);
				__atomic_store_n(&slots[i].name[0], name[0], __ATOMIC_RELEASE);
			} else {
				while (!__atomic_load_n(&slots[i].name[0], __ATOMIC_ACQUIRE))
					;
			}
		}
		if (!strcmp(slots[i].name, name)) {
			targets[i] = (void *)symbol->st_value;
			return (uintptr_t)trampolines + i * TRAMPOLINE_SIZE;
		}
	}
	abort();
}
