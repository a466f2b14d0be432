/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel's types as far as capsule.bpf.c reads them, kept by hand.
 *
 * `preserve_access_index` makes every access a CO-RE relocation: the loader looks fields up by name in the running
 * kernel's BTF, so neither the order nor the offsets below matter, only names and nesting. A few helpers are declared
 * by number (include/uapi/linux/bpf.h), so that no kernel or libbpf header is needed to build.
 */
#ifndef CAPSULE_CORE_H
#define CAPSULE_CORE_H

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;
typedef _Bool bool;

#define SEC(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define CORE __attribute__((preserve_access_index))
#define BARRIER_VAR(v) __asm__ volatile("" : "+r"(v))

/* Map definitions in BTF form (libbpf's convention, which aya reads). */
#define FIELD_UINT(name, value) int(*name)[value]
#define FIELD_TYPE(name, type) typeof(type) *name

enum {
    BPF_MAP_TYPE_HASH = 1,
    BPF_MAP_TYPE_ARRAY = 2,
    BPF_MAP_TYPE_PERCPU_ARRAY = 6,
    BPF_MAP_TYPE_RINGBUF = 27,
};

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static u32 (*const bpf_get_smp_processor_id)(void) = (void *)8;
static u64 (*const bpf_get_current_cgroup_id)(void) = (void *)80;
static long (*const bpf_probe_read_user)(void *dst, u32 size, const void *src) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *dst, u32 size, const void *src) = (void *)113;
static long (*const bpf_probe_read_user_str)(void *dst, u32 size, const void *src) = (void *)114;
static long (*const bpf_probe_read_kernel_str)(void *dst, u32 size, const void *src) = (void *)115;
static long (*const bpf_ringbuf_output)(void *ring, void *data, u64 size, u64 flags) = (void *)130;
static void *(*const bpf_ringbuf_reserve)(void *ring, u64 size, u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, u64 flags) = (void *)132;
static struct task_struct *(*const bpf_get_current_task_btf)(void) = (void *)158;
static struct pt_regs *(*const bpf_task_pt_regs)(struct task_struct *task) = (void *)175;
static long (*const bpf_loop)(u32 nr_loops, void *callback, void *ctx, u64 flags) = (void *)181;

/* The address of a field. The pointer is taken first: how it was reached is no access of the kernel's types. */
#define FIELD(ptr, field)                                          \
    ({                                                             \
        typeof(ptr) ptr_ = (ptr);                                  \
        (const void *)__builtin_preserve_access_index(&ptr_->field); \
    })
/* Reads one field through a pointer that the verifier does not know. */
#define READ(dst, ptr, field) bpf_probe_read_kernel(&(dst), sizeof(dst), FIELD(ptr, field))
/* The same, as a value. */
#define VALUE(ptr, field)          \
    ({                             \
        typeof((ptr)->field) value_ = 0; \
        READ(value_, ptr, field);  \
        value_;                    \
    })

struct qstr {
    union {
        struct {
            u32 hash;
            u32 len;
        };
    };
    const unsigned char *name;
} CORE;

struct hlist_bl_node {
    struct hlist_bl_node *next, **pprev;
} CORE;

struct dentry {
    struct hlist_bl_node d_hash;
    struct dentry *d_parent;
    struct qstr d_name;
} CORE;

struct vfsmount {
    struct dentry *mnt_root;
} CORE;

struct mount {
    struct mount *mnt_parent;
    struct dentry *mnt_mountpoint;
    struct vfsmount mnt;
} CORE;

struct path {
    struct vfsmount *mnt;
    struct dentry *dentry;
} CORE;

struct inode {
    unsigned short i_mode;
    unsigned long i_ino;
} CORE;

struct file {
    struct path f_path;
    struct inode *f_inode;
    unsigned int f_mode;
    void *private_data;
} CORE;

struct in6_addr {
    union {
        u8 u6_addr8[16];
    } in6_u;
} CORE;

struct sock_common {
    unsigned short skc_family;
    unsigned short skc_num;
    u32 skc_rcv_saddr;
    struct in6_addr skc_v6_rcv_saddr;
} CORE;

struct sock {
    struct sock_common __sk_common;
} CORE;

struct sockaddr_un {
    unsigned short sun_family;
} CORE;

struct unix_address {
    int len;
    struct sockaddr_un name[1];
} CORE;

struct unix_sock {
    struct unix_address *addr;
} CORE;

struct socket {
    short type;
    struct sock *sk;
} CORE;

struct fdtable {
    unsigned int max_fds;
    struct file **fd;
    unsigned long *open_fds;
} CORE;

struct files_struct {
    struct fdtable *fdt;
} CORE;

struct fs_struct {
    struct path root;
    struct path pwd;
} CORE;

struct ns_common {
    unsigned int inum;
} CORE;

struct pid_namespace {
    struct ns_common ns;
} CORE;

struct upid {
    int nr;
    struct pid_namespace *ns;
} CORE;

struct pid {
    unsigned int level;
    struct upid numbers[1];
} CORE;

typedef struct {
    u32 val;
} kuid_t;

typedef struct {
    u32 val;
} kgid_t;

struct cred {
    kuid_t uid;
    kgid_t gid;
    kuid_t euid;
    kgid_t egid;
} CORE;

struct mm_struct {
    unsigned long arg_start, arg_end, env_start, env_end;
    struct file *exe_file;
} CORE;

struct tty_driver {
    int major;
    int minor_start;
} CORE;

struct tty_struct {
    int index;
    struct tty_driver *driver;
    char name[64];
} CORE;

typedef struct {
    int counter;
} atomic_t;

struct task_io_accounting {
    u64 read_bytes;
    u64 write_bytes;
} CORE;

struct signal_struct {
    atomic_t live;
    int group_exit_code;
    unsigned int flags;
    struct pid *pids[4];
    struct tty_struct *tty;
    u64 utime, stime, cutime, cstime;
    unsigned long maj_flt, cmaj_flt;
    unsigned long inblock, oublock, cinblock, coublock;
    unsigned long maxrss, cmaxrss;
    unsigned long long sum_sched_runtime;
} CORE;

struct sched_entity {
    u64 sum_exec_runtime;
} CORE;

struct task_struct {
    unsigned int flags;
    struct sched_entity se;
    struct mm_struct *mm;
    int exit_code;
    int exit_signal;
    int pid;
    int tgid;
    struct task_struct *group_leader;
    struct pid *thread_pid;
    u64 utime, stime;
    u64 start_time;
    unsigned long maj_flt;
    const struct cred *cred;
    struct fs_struct *fs;
    struct files_struct *files;
    struct signal_struct *signal;
    struct task_io_accounting ioac;
} CORE;

struct linux_binprm {
    const char *filename;
} CORE;

/*
 * The registers at a system call: what the call was, and its arguments. They are loaded directly, which the verifier
 * allows through what bpf_task_pt_regs returns or a tp_btf program is given.
 */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
    unsigned long di, si, dx, r10, r8, r9, orig_ax;
} CORE;
#define SYSCALL_NUMBER(regs) ((regs)->orig_ax)
#define SYSCALL_ARG0(regs) ((regs)->di)
#define SYSCALL_ARG1(regs) ((regs)->si)
#define SYSCALL_ARG2(regs) ((regs)->dx)
#define SYSCALL_ARG3(regs) ((regs)->r10)
#define SYSCALL_ARG4(regs) ((regs)->r8)
#define SYSCALL_ARG5(regs) ((regs)->r9)
enum { NR_CLONE = 56, NR_VFORK = 58, NR_EXECVE = 59, NR_EXECVEAT = 322, NR_CLONE3 = 435 };
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
    u64 regs[31];
} CORE;
struct pt_regs {
    union {
        struct user_pt_regs user_regs;
        struct {
            u64 regs[31];
        };
    };
    u64 orig_x0;
    s32 syscallno;
} CORE;
#define SYSCALL_NUMBER(regs) ((u64)(s64)(regs)->syscallno)
#define SYSCALL_ARG0(regs) ((regs)->orig_x0)
#define SYSCALL_ARG1(regs) ((regs)->regs[1])
#define SYSCALL_ARG2(regs) ((regs)->regs[2])
#define SYSCALL_ARG3(regs) ((regs)->regs[3])
#define SYSCALL_ARG4(regs) ((regs)->regs[4])
#define SYSCALL_ARG5(regs) ((regs)->regs[5])
enum { NR_CLONE = 220, NR_VFORK = -1, NR_EXECVE = 221, NR_EXECVEAT = 281, NR_CLONE3 = 435 };
#else
#error "define __TARGET_ARCH_x86 or __TARGET_ARCH_arm64"
#endif

#endif
