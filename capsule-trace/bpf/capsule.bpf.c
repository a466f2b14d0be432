/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the kernel tells of one process tree: forks, execs, failed execs and exits.
 *
 * `tracked` holds the processes of the tree; the fork hook adds to it, the exit of a last thread takes out of it.
 * Nothing of any other process leaves the kernel. Pids are those of the tracer's own pid namespace.
 *
 * A record is a `head` and what its kind adds; src/ebpf/wire.rs reads the same layout. Records larger than a chunk
 * continue in MORE records with the same tid. Order in the ring is the order of reservation, which for any two records
 * of which one caused the other is the order in which they happened, whatever their cpus.
 *
 * Of the current task only numbers are loaded directly, pointers with READ: for each pointer that is loaded through one
 * that the verifier trusts it searches the kernel's types by name, one after another, and that took longer than all the
 * rest of loading the programs.
 */
#include "core.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum { KIND_FORK = 1, KIND_EXEC = 2, KIND_MORE = 3, KIND_EXIT = 4, KIND_EXEC_FAILED = 5, KIND_EFFECT = 6 };
enum { HOW_FORK = 0, HOW_VFORK = 1, HOW_CLONE = 2 };
/* Of an exec: its memory could not be read; a path's file was removed; a path was too deep. */
enum { FLAG_UNREADABLE = 1, FLAG_EXE_DELETED = 2, FLAG_CWD_DELETED = 4, FLAG_EXE_CUT = 8, FLAG_CWD_CUT = 16 };
/* Of a path: its file was removed; it was not followed to the root; it was; its file is in no directory. */
enum { WALK_DELETED = 1, WALK_CUT = 2, WALK_DONE = 4, WALK_PSEUDO = 8 };
/* Of a descriptor, above those: the same open file as the descriptor before. */
enum { FD_SAME = 256 };

#define CHUNK 32768u
#define PREFIX 32768u
#define PATH_ROOM 4096u
#define SIGNAL_GROUP_EXIT 4
#define CLONE_VFORK 0x4000
#define PIDTYPE_TGID 1
#define PIDTYPE_PGID 2
#define PIDTYPE_SID 3
#define SLOTS_PER_CPU 2
#define FDS 64
#define FD_ROOM (PREFIX - 2 * PATH_ROOM)

struct head {
    u64 time; /* CLOCK_MONOTONIC */
    u64 lost; /* records that this cpu has lost so far */
    u32 pid;  /* the process, in the tracer's pid namespace */
    u32 tid;  /* the thread, in the initial pid namespace */
    u16 kind;
    u16 cpu;
    u32 flags;
};

struct fork_record {
    struct head head;
    u32 parent;
    u32 how;
    u32 ns_pid;
    u32 pad;
};

struct exit_record {
    struct head head;
    u32 status; /* as wait(2) gives it */
    u32 pad;
    u64 utime, stime, runtime, cutime, cstime; /* ns */
    u64 maxrss;                               /* pages */
    u64 maj_flt, inblock, oublock;
};

struct exec_record {
    struct head head;
    u32 uid, euid, gid, egid;
    u32 sid, pgid, ns_pid, old_tid;
    u64 cgroup;
    u64 start_time;
    u32 tty_major, tty_minor;
    u64 arg_len, env_len;
    u32 filename_len, exe_len, cwd_len, fds_len, data_len; /* of what follows, in this order */
    u32 pad;
    char tty_name[16];
};

/* An open descriptor, and the names of its path. */
struct fd_record {
    u32 fd;
    u32 flags;
    u64 inode;
    u32 mode;
    u32 len;
};

struct failed_record {
    struct head head;
    s32 errno_;
    u32 filename_len;
    u32 data_len;
    u32 pad;
};

/* A system call that changed something outside its process, or tried to. */
struct effect_record {
    struct head head;
    s64 result;
    u64 args[8]; /* the call's six; then an open's flags, wherever they were */
    u32 number;
    u32 file_mode; /* of an opened file: the kernel's FMODE_ bits */
    u32 walk1, walk2; /* flags of the walks */
    u32 path1_len, base1_len, path2_len, base2_len, address_len; /* of what follows, in this order */
    u16 socket_type, socket_family;
    u32 address_base_len; /* after the address: where a unix socket's relative path starts */
    u32 pad;
};

struct more_record {
    struct head head;
    u32 data_len;
    u32 last;
};

/* Where a walk up the directories stands. */
struct path_walk {
    struct vfsmount *mnt;
    struct dentry *dentry;
    u32 off;
    u32 end;
    u32 flags;
    u32 pad;
};

/* Where the list of descriptors stands. */
struct fd_walk {
    u64 open; /* a bit each */
    struct file **fds;
    struct file *last;
    u32 off;
    u32 pad;
};

/* Where the copy of a process's memory stands. */
struct block {
    u64 at;
    u64 left;
    u32 pid, tid;
};

/* Where the copy of a failed exec's arguments stands. */
struct failed {
    u64 argv;   /* next pointer of the vector */
    u64 string; /* within an argument that did not fit at once; 0: take the next */
    u32 off;
    u32 pid, tid;
    u32 more;   /* the record itself is out: what follows are MORE records */
    u32 ended;
    u32 pad;
};

/*
 * Room for one record, and the state of the loops that fill it: state in a map is opaque to the verifier, so that a loop
 * is verified once; on the stack it would be followed through every iteration.
 */
struct scratch {
    u32 busy;
    u32 pad;
    struct path_walk walk;
    struct fd_walk fds;
    struct block block;
    struct failed failed;
    u8 data[PREFIX + CHUNK + PREFIX];
};

struct loop {
    struct scratch *slot;
};

struct {
    FIELD_UINT(type, BPF_MAP_TYPE_RINGBUF);
    FIELD_UINT(max_entries, 16 * 1024 * 1024);
} ring SEC(".maps");

struct {
    FIELD_UINT(type, BPF_MAP_TYPE_HASH);
    FIELD_UINT(max_entries, 32768);
    FIELD_TYPE(key, u32);
    FIELD_TYPE(value, u32);
} tracked SEC(".maps");

/* 0: records that did not fit into the ring; 1: processes that did not fit into the table. */
struct {
    FIELD_UINT(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    FIELD_UINT(max_entries, 2);
    FIELD_TYPE(key, u32);
    FIELD_TYPE(value, u64);
} lost SEC(".maps");

struct {
    FIELD_UINT(type, BPF_MAP_TYPE_ARRAY);
    FIELD_UINT(max_entries, SLOTS_PER_CPU);
    FIELD_TYPE(key, u32);
    FIELD_TYPE(value, struct scratch);
} scratch SEC(".maps");

/*
 * What to record of a system call, by number; 0: nothing. Set by the loader, the same layout as in src/ebpf/calls.rs.
 * Arguments are given by their index + 1 in three bits, 0 for none.
 */
struct {
    FIELD_UINT(type, BPF_MAP_TYPE_ARRAY);
    FIELD_UINT(max_entries, 512);
    FIELD_TYPE(key, u32);
    FIELD_TYPE(value, u32);
} calls SEC(".maps");

#define CALL_PATH1(call) ((call) & 7)
#define CALL_DIRFD1(call) ((call) >> 3 & 7)
#define CALL_PATH2(call) ((call) >> 6 & 7)
#define CALL_DIRFD2(call) ((call) >> 9 & 7)
#define CALL_FD(call) ((call) >> 12 & 7)
#define CALL_ADDRESS(call) ((call) >> 15 & 7)
#define CALL_FLAGS(call) ((call) >> 18 & 7)
#define CALL_FLAGS_POINTER (1u << 21) /* the flags are the first word behind a pointer */
#define CALL_OPENS (1u << 22)         /* a success gives a descriptor */
#define CALL_IF_WRITES (1u << 23)     /* only with flags that write */
#define CALL_SOCKET (1u << 24)        /* the first argument is a socket */
#define CALL_MESSAGE (1u << 25)       /* the address is in a msghdr */
#define CALL_IF_ADDRESS (1u << 26)    /* only with an address */
#define CALL_IF_ATTACHES (1u << 27)   /* of ptrace: only the requests that attach */
#define CALL_EXEC (1u << 28)          /* only a failure, as an EXEC_FAILED record */
#define CALL_IF_STRANGER (1u << 29)   /* only where the first argument is no process of the tree */

/* Set by the loader before verification, which then drops the branches not taken. */
volatile const u32 pid_ns_inum = 0; /* the tracer's pid namespace; 0: the initial one */

INLINE u64 *lost_here(void)
{
    u32 zero = 0;
    return bpf_map_lookup_elem(&lost, &zero);
}

INLINE void count_lost(void)
{
    u64 *count = lost_here();
    if (count)
        __sync_fetch_and_add(count, 1);
}

INLINE void count_untracked(void)
{
    u32 one = 1;
    u64 *count = bpf_map_lookup_elem(&lost, &one);
    if (count)
        __sync_fetch_and_add(count, 1);
}

INLINE void fill_head(struct head *head, u16 kind, u32 pid, u32 tid)
{
    u64 *count = lost_here();
    head->time = bpf_ktime_get_ns();
    head->lost = count ? *count : 0;
    head->pid = pid;
    head->tid = tid;
    head->kind = kind;
    head->cpu = bpf_get_smp_processor_id();
    head->flags = 0;
}

/* What `pid` is called in the tracer's pid namespace; 0 where it is not in it. */
static __attribute__((noinline)) u32 number_of(struct pid *pid)
{
    u32 level = 0;
    if (!pid)
        return 0;
    READ(level, pid, level);
    for (u32 i = 0; i < 8 && i <= level; i++) {
        struct pid_namespace *ns = 0;
        u32 inum = 0, nr = 0;
        const struct upid *at = FIELD(pid, numbers[0]);
        at = (const void *)at + i * 16;
        READ(nr, at, nr);
        READ(ns, at, ns);
        READ(inum, ns, ns.inum);
        if (!pid_ns_inum || inum == pid_ns_inum)
            return nr;
    }
    return 0;
}

/* What `pid` is called in its own, innermost namespace; 0 where that is the tracer's. */
INLINE u32 inner_number(struct pid *pid, u32 outer)
{
    u32 level = 0, nr = 0;
    READ(level, pid, level);
    if (level == 0 || level > 32)
        return 0;
    const struct upid *at = FIELD(pid, numbers[0]);
    at = (const void *)at + level * 16;
    READ(nr, at, nr);
    return nr == outer ? 0 : nr;
}

INLINE u32 current_process(struct task_struct *task)
{
    if (!pid_ns_inum)
        return task->tgid;
    struct task_struct *leader = 0;
    struct pid *pid = 0;
    READ(leader, task, group_leader);
    READ(pid, leader, thread_pid);
    return number_of(pid);
}

INLINE bool is_tracked(u32 pid)
{
    return pid && bpf_map_lookup_elem(&tracked, &pid);
}

/* A buffer for one record. Taken and given back, because a hook may be preempted by one of another task. */
INLINE struct scratch *take_scratch(void)
{
    u32 first = bpf_get_smp_processor_id() * SLOTS_PER_CPU;
    for (u32 i = 0; i < SLOTS_PER_CPU; i++) {
        u32 key = first + i;
        struct scratch *slot = bpf_map_lookup_elem(&scratch, &key);
        if (slot && __sync_lock_test_and_set(&slot->busy, 1) == 0)
            return slot;
    }
    return 0;
}

INLINE void give_back(struct scratch *slot)
{
    slot->busy = 0;
}

/* One step up: appends the name and a NUL. The reader puts the names, innermost first, the other way round. */
static long path_step(u32 index, void *context)
{
    struct scratch *slot = ((struct loop *)context)->slot;
    struct path_walk *walk = &slot->walk;
    struct dentry *root = 0, *parent = 0;
    struct mount *mount, *above = 0;
    struct qstr name = {};

    READ(root, walk->mnt, mnt_root);
    READ(parent, walk->dentry, d_parent);
    if (walk->dentry == root) {
        mount = (void *)walk->mnt - __builtin_preserve_field_info(((struct mount *)0)->mnt, 0);
        READ(above, mount, mnt_parent);
        if (above == mount || !above) {
            walk->flags |= WALK_DONE;
            return 1;
        }
        READ(walk->dentry, mount, mnt_mountpoint);
        walk->mnt = (void *)FIELD(above, mnt);
        return 0;
    }
    bpf_probe_read_kernel(&name, sizeof(name), FIELD(walk->dentry, d_name));
    u32 off = walk->off;
    u32 len = name.len;
    if (off >= walk->end || len > 255) {
        walk->flags |= WALK_CUT;
        return 1;
    }
    off &= PREFIX - 1;
    long got = bpf_probe_read_kernel_str(&slot->data[off], 256, name.name);
    if (got > 0)
        walk->off = off + (got & 511);
    if (parent == walk->dentry) { /* not in any directory: memfd and other anonymous files */
        walk->flags |= WALK_DONE | WALK_PSEUDO;
        return 1;
    }
    walk->dentry = parent;
    return 0;
}

/* Appends the names of `path` at `off`. Returns the new end. */
INLINE u32 walk_path(struct loop *loop, const void *path_at, u32 off)
{
    const struct path *path = path_at;
    struct path_walk *walk = &loop->slot->walk;
    struct hlist_bl_node **pprev = (void *)1;
    struct dentry *parent = 0;
    READ(walk->mnt, path, mnt);
    READ(walk->dentry, path, dentry);
    walk->off = off;
    walk->end = off + PATH_ROOM;
    walk->flags = 0;
    READ(pprev, walk->dentry, d_hash.pprev);
    READ(parent, walk->dentry, d_parent);
    if (!pprev && parent != walk->dentry)
        walk->flags |= WALK_DELETED;
    bpf_loop(512, path_step, loop, 0);
    if (!(walk->flags & WALK_DONE))
        walk->flags |= WALK_CUT;
    return walk->off;
}

/* One descriptor. */
static long fd_step(u32 fd, void *context)
{
    struct scratch *slot = ((struct loop *)context)->slot;
    struct fd_walk *fds = &slot->fds;
    u64 open = fds->open >> (fd & (FDS - 1));
    u32 off = fds->off;
    if (!open || off > FD_ROOM)
        return 1;
    if (!(open & 1))
        return 0;
    struct file *file = 0;
    if (bpf_probe_read_kernel(&file, sizeof(file), &fds->fds[fd]) || !file)
        return 0;
    struct fd_record *record = (void *)&slot->data[off];
    record->fd = fd;
    if (file == fds->last) {
        record->flags = FD_SAME;
        record->inode = 0;
        record->mode = 0;
        record->len = 0;
        fds->off = off + sizeof(*record);
        return 0;
    }
    fds->last = file;
    struct inode *inode = 0;
    unsigned long number = 0;
    unsigned short mode = 0;
    READ(inode, file, f_inode);
    READ(number, inode, i_ino);
    READ(mode, inode, i_mode);
    record->inode = number;
    record->mode = mode;
    u32 begin = off + sizeof(*record);
    u32 end = walk_path(context, FIELD(file, f_path), begin);
    record->flags = slot->walk.flags;
    record->len = end - begin;
    fds->off = end;
    return 0;
}

static long more_step(u32 index, void *context)
{
    struct scratch *slot = ((struct loop *)context)->slot;
    struct block *block = &slot->block;
    struct more_record *more = (void *)slot->data;
    u64 len = block->left;
    if (len == 0)
        return 1;
    if (len > CHUNK)
        len = CHUNK;
    BARRIER_VAR(len);
    if (len > CHUNK)
        return 1;
    fill_head(&more->head, KIND_MORE, block->pid, block->tid);
    if (bpf_probe_read_user(slot->data + sizeof(*more), len, (void *)block->at))
        more->head.flags = FLAG_UNREADABLE;
    block->at += len;
    block->left -= len;
    more->data_len = len;
    more->last = block->left == 0;
    if (bpf_ringbuf_output(&ring, more, sizeof(*more) + len, 0)) {
        count_lost();
        return 1;
    }
    return 0;
}

SEC("raw_tp/sched_process_fork")
int on_fork(u64 *args)
{
    struct task_struct *parent = bpf_get_current_task_btf();
    struct task_struct *child = (void *)args[1];
    u32 parent_pid = current_process(parent);
    if (!is_tracked(parent_pid))
        return 0;

    u32 tgid = 0, pid = 0;
    s32 signal = 0;
    READ(tgid, child, tgid);
    READ(pid, child, pid);
    if (tgid != pid)
        return 0; /* a thread */
    struct pid *thread_pid = 0;
    READ(thread_pid, child, thread_pid);
    u32 child_pid = pid_ns_inum ? number_of(thread_pid) : tgid;
    u32 one = 1;
    if (bpf_map_update_elem(&tracked, &child_pid, &one, 0))
        count_untracked();

    u32 how = HOW_FORK;
    READ(signal, child, exit_signal);
    struct pt_regs *regs = bpf_task_pt_regs(parent);
    u64 number = SYSCALL_NUMBER(regs);
    if ((s32)number == NR_VFORK) {
        how = HOW_VFORK;
    } else if ((s32)number == NR_CLONE || (s32)number == NR_CLONE3) {
        u64 flags = SYSCALL_ARG0(regs);
        if ((s32)number == NR_CLONE3) {
            void *at = (void *)flags;
            flags = 0;
            bpf_probe_read_user(&flags, sizeof(flags), at);
        }
        how = flags & CLONE_VFORK ? HOW_VFORK : signal != 17 ? HOW_CLONE : HOW_FORK;
    }

    struct fork_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
    if (!record) {
        count_lost();
        return 0;
    }
    fill_head(&record->head, KIND_FORK, child_pid, pid);
    record->parent = parent_pid;
    record->how = how;
    record->ns_pid = inner_number(thread_pid, child_pid);
    record->pad = 0;
    bpf_ringbuf_submit(record, 0);
    return 0;
}

SEC("raw_tp/sched_process_exec")
int on_exec(u64 *args)
{
    struct task_struct *task = bpf_get_current_task_btf();
    u32 pid = current_process(task);
    if (!is_tracked(pid))
        return 0;
    struct scratch *slot = take_scratch();
    if (!slot) {
        count_lost();
        return 0;
    }
    struct linux_binprm *bprm = (void *)args[2];
    struct exec_record *record = (void *)slot->data;
    fill_head(&record->head, KIND_EXEC, pid, task->pid);

    const struct cred *cred = 0;
    READ(cred, task, cred);
    READ(record->uid, cred, uid.val);
    READ(record->euid, cred, euid.val);
    READ(record->gid, cred, gid.val);
    READ(record->egid, cred, egid.val);
    struct signal_struct *signal = 0;
    struct pid *sid = 0, *pgid = 0, *thread_pid = 0;
    READ(signal, task, signal);
    READ(sid, signal, pids[PIDTYPE_SID]);
    READ(pgid, signal, pids[PIDTYPE_PGID]);
    READ(thread_pid, task, thread_pid);
    record->sid = number_of(sid);
    record->pgid = number_of(pgid);
    record->ns_pid = inner_number(thread_pid, pid);
    record->old_tid = args[1];
    record->cgroup = bpf_get_current_cgroup_id();
    record->start_time = task->start_time;
    struct tty_struct *tty = 0;
    READ(tty, signal, tty);
    record->tty_major = 0;
    record->tty_minor = 0;
    if (tty) {
        struct tty_driver *driver = 0;
        u32 first = 0, index = 0;
        READ(driver, tty, driver);
        READ(record->tty_major, driver, major);
        READ(first, driver, minor_start);
        READ(index, tty, index);
        record->tty_minor = first + index;
        bpf_probe_read_kernel_str(record->tty_name, sizeof(record->tty_name),
                                  FIELD(tty, name));
    } else {
        record->tty_name[0] = 0;
    }
    struct mm_struct *mm = 0;
    u64 start = 0, arg_end = 0, env_end = 0;
    READ(mm, task, mm);
    READ(start, mm, arg_start);
    READ(arg_end, mm, arg_end);
    READ(env_end, mm, env_end);
    record->arg_len = arg_end - start;
    record->env_len = env_end - arg_end;

    u32 off = sizeof(*record);
    const char *filename = 0;
    READ(filename, bprm, filename);
    long got = bpf_probe_read_kernel_str(&slot->data[off], PATH_ROOM, filename);
    if (got < 0)
        got = 0;
    got &= 2 * PATH_ROOM - 1;
    record->filename_len = got;
    off += got;

    struct loop loop = {slot};
    struct file *exe = 0;
    READ(exe, mm, exe_file);
    u32 flags = 0, end = off;
    if (exe) {
        end = walk_path(&loop, FIELD(exe, f_path), off);
        flags |= slot->walk.flags & (WALK_DELETED | WALK_PSEUDO) ? FLAG_EXE_DELETED : 0;
        flags |= slot->walk.flags & WALK_CUT ? FLAG_EXE_CUT : 0;
    }
    record->exe_len = end - off;
    off = end;
    struct fs_struct *fs = 0;
    READ(fs, task, fs);
    if (fs) {
        end = walk_path(&loop, FIELD(fs, pwd), off);
        flags |= slot->walk.flags & WALK_DELETED ? FLAG_CWD_DELETED : 0;
        flags |= slot->walk.flags & WALK_CUT ? FLAG_CWD_CUT : 0;
    }
    record->cwd_len = end - off;
    off = end;
    slot->fds.off = off;
    struct files_struct *files = 0;
    READ(files, task, files);
    if (files) {
        struct fdtable *table = 0;
        unsigned long *open = 0;
        READ(table, files, fdt);
        READ(open, table, open_fds);
        slot->fds.last = 0;
        slot->fds.open = 0;
        READ(slot->fds.fds, table, fd);
        bpf_probe_read_kernel(&slot->fds.open, sizeof(slot->fds.open), open);
        bpf_loop(FDS, fd_step, &loop, 0);
    }
    end = slot->fds.off;
    record->fds_len = end - off;
    record->pad = 0;
    off = end & (PREFIX - 1);

    u64 total = env_end - start;
    u64 len = total;
    if (len > CHUNK)
        len = CHUNK;
    BARRIER_VAR(len);
    if (len > CHUNK)
        len = CHUNK;
    if (bpf_probe_read_user(&slot->data[off], len, (void *)start))
        flags |= FLAG_UNREADABLE;
    record->data_len = len;
    record->head.flags = flags;
    if (bpf_ringbuf_output(&ring, record, off + len, 0)) {
        count_lost();
    } else if (total > len) {
        slot->block.at = start + len;
        slot->block.left = total - len;
        slot->block.pid = pid;
        slot->block.tid = task->pid;
        bpf_loop(1024, more_step, &loop, 0);
    }
    give_back(slot);
    return 0;
}

SEC("raw_tp/sched_process_exit")
int on_exit(u64 *args)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct signal_struct *signal = 0;
    s32 live = 0;
    READ(signal, task, signal);
    READ(live, signal, live.counter);
    if (live != 0)
        return 0;
    u32 pid = current_process(task);
    if (!pid || bpf_map_delete_elem(&tracked, &pid))
        return 0; /* not of the tree, or another thread's hook was here first */

    struct exit_record *record = bpf_ringbuf_reserve(&ring, sizeof(*record), 0);
    if (!record) {
        count_lost();
        return 0;
    }
    fill_head(&record->head, KIND_EXIT, pid, task->pid);
    struct task_struct *leader = 0;
    u32 signal_flags = 0;
    s32 leader_pid = 0;
    READ(leader, task, group_leader);
    READ(leader_pid, leader, pid);
    READ(signal_flags, signal, flags);
    if (signal_flags & SIGNAL_GROUP_EXIT)
        READ(record->status, signal, group_exit_code);
    else
        READ(record->status, leader, exit_code);
    record->pad = 0;
    record->utime = VALUE(signal, utime) + task->utime;
    record->stime = VALUE(signal, stime) + task->stime;
    record->runtime = VALUE(signal, sum_sched_runtime) + task->se.sum_exec_runtime;
    record->cutime = VALUE(signal, cutime);
    record->cstime = VALUE(signal, cstime);
    record->maj_flt = VALUE(signal, maj_flt) + VALUE(signal, cmaj_flt) + task->maj_flt;
    u64 inblock = VALUE(signal, inblock) + VALUE(signal, cinblock) + (task->ioac.read_bytes >> 9);
    u64 oublock = VALUE(signal, oublock) + VALUE(signal, coublock) + (task->ioac.write_bytes >> 9);
    if (leader_pid != task->pid) {
        record->utime += VALUE(leader, utime);
        record->stime += VALUE(leader, stime);
        record->runtime += VALUE(leader, se.sum_exec_runtime);
        record->maj_flt += VALUE(leader, maj_flt);
        inblock += VALUE(leader, ioac.read_bytes) >> 9;
        oublock += VALUE(leader, ioac.write_bytes) >> 9;
    }
    record->inblock = inblock;
    record->oublock = oublock;
    u64 maxrss = VALUE(signal, maxrss), cmaxrss = VALUE(signal, cmaxrss);
    record->maxrss = maxrss > cmaxrss ? maxrss : cmaxrss;
    bpf_ringbuf_submit(record, 0);
    return 0;
}

INLINE long flush_failed(struct scratch *slot, u32 last)
{
    struct failed *failed = &slot->failed;
    u32 off = failed->off;
    if (off > PREFIX + CHUNK)
        return 1;
    if (failed->more) {
        struct more_record *more = (void *)slot->data;
        fill_head(&more->head, KIND_MORE, failed->pid, failed->tid);
        more->data_len = off - sizeof(*more);
        more->last = last;
    } else {
        struct failed_record *record = (void *)slot->data;
        record->data_len = off - sizeof(*record) - (record->filename_len & (2 * PATH_ROOM - 1));
        record->pad = last;
    }
    if (bpf_ringbuf_output(&ring, slot->data, off, 0)) {
        count_lost();
        failed->ended = 1;
        return 1;
    }
    failed->more = 1;
    failed->off = sizeof(struct more_record);
    return 0;
}

static long argument_step(u32 index, void *context)
{
    struct scratch *slot = ((struct loop *)context)->slot;
    struct failed *failed = &slot->failed;
    u64 string = failed->string;
    if (!string) {
        if (bpf_probe_read_user(&string, sizeof(string), (void *)failed->argv) || !string)
            return 1;
        failed->argv += sizeof(string);
    }
    u32 off = failed->off;
    if (off > PREFIX)
        return 1;
    long got = bpf_probe_read_user_str(&slot->data[off], CHUNK, (void *)string);
    if (got <= 0) /* an unreadable argument; most likely the reason of the failure */
        return 1;
    got &= 2 * CHUNK - 1;
    if (got == CHUNK) { /* the last byte is a NUL that the argument does not have */
        failed->string = string + CHUNK - 1;
        failed->off = off + CHUNK - 1;
    } else {
        failed->string = 0;
        failed->off = off + got;
    }
    if (failed->off > PREFIX)
        return flush_failed(slot, 0);
    return 0;
}

/* The arguments of a failed call are still in its registers. */
INLINE int exec_failed(struct pt_regs *regs, u64 number, s64 result)
{
    struct task_struct *task = bpf_get_current_task_btf();
    u32 pid = current_process(task);
    if (!is_tracked(pid))
        return 0;
    struct scratch *slot = take_scratch();
    if (!slot) {
        count_lost();
        return 0;
    }
    u64 filename = 0, argv = 0;
    if (number == NR_EXECVE) {
        filename = SYSCALL_ARG0(regs);
        argv = SYSCALL_ARG1(regs);
    } else {
        filename = SYSCALL_ARG1(regs);
        argv = SYSCALL_ARG2(regs);
    }
    struct failed_record *record = (void *)slot->data;
    fill_head(&record->head, KIND_EXEC_FAILED, pid, task->pid);
    record->errno_ = -result;
    record->pad = 0;
    long got = bpf_probe_read_user_str(&slot->data[sizeof(*record)], PATH_ROOM, (void *)filename);
    if (got < 0)
        got = 0;
    got &= 2 * PATH_ROOM - 1;
    record->filename_len = got;
    struct failed *failed = &slot->failed;
    failed->argv = argv;
    failed->string = 0;
    failed->off = sizeof(*record) + got;
    failed->pid = pid;
    failed->tid = task->pid;
    failed->more = 0;
    failed->ended = 0;
    struct loop loop = {slot};
    bpf_loop(1 << 17, argument_step, &loop, 0);
    if (!failed->ended)
        flush_failed(slot, 1);
    give_back(slot);
    return 0;
}

/* Every system call of the machine passes here, so what ends it comes first. 32-bit programs have other numbers. */
SEC("raw_tp/sys_exit")
int on_sys_exit(u64 *args)
{
    s64 result = args[1];
    if (result >= 0)
        return 0;
    struct pt_regs *regs = bpf_task_pt_regs(bpf_get_current_task_btf());
    u64 number = SYSCALL_NUMBER(regs);
    if (number != NR_EXECVE && number != NR_EXECVEAT)
        return 0;
    return exec_failed(regs, number, result);
}

#define AT_FDCWD (-100)
#define PTRACE_ATTACH 16
#define PTRACE_SEIZE 0x4206
#define O_WRITES (1 | 2 | 0100 | 01000) /* O_WRONLY, O_RDWR, O_CREAT, O_TRUNC */
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define ADDRESS_ROOM 128u

/* An argument by its index + 1. */
INLINE u64 argument(struct effect_record *record, u32 which)
{
    return record->args[(which - 1) & 7];
}

INLINE struct file *file_of(struct task_struct *task, u32 fd)
{
    struct file *file = 0, **at = 0;
    struct files_struct *files = 0;
    struct fdtable *table = 0;
    u32 most = 0;
    READ(files, task, files);
    READ(table, files, fdt);
    READ(most, table, max_fds);
    if (fd >= most)
        return 0;
    READ(at, table, fd);
    bpf_probe_read_kernel(&file, sizeof(file), at + fd);
    return file;
}

/* The names of the directory that a relative path starts from. */
INLINE u32 walk_base(struct loop *loop, struct task_struct *task, struct effect_record *record, u32 dirfd, u32 off)
{
    loop->slot->walk.flags = WALK_CUT;
    s32 fd = dirfd ? (s32)argument(record, dirfd) : AT_FDCWD;
    if (fd == AT_FDCWD) {
        struct fs_struct *fs = 0;
        READ(fs, task, fs);
        return fs ? walk_path(loop, FIELD(fs, pwd), off) : off;
    }
    struct file *file = file_of(task, fd);
    return file ? walk_path(loop, FIELD(file, f_path), off) : off;
}

/* Appends a path of the call's. Returns its length, the NUL included. */
INLINE u32 copy_path(struct scratch *slot, u64 from, u32 off)
{
    off &= PREFIX - 1;
    long got = bpf_probe_read_user_str(&slot->data[off], PATH_ROOM, (void *)from);
    return got < 0 ? 0 : got & (2 * PATH_ROOM - 1);
}

/* A socket's own address, in the form of a sockaddr. */
INLINE u32 own_address(struct sock *sk, u16 family, u8 *at)
{
    if (family == AF_UNIX) {
        struct unix_address *address = 0;
        u32 len = 0;
        READ(address, (struct unix_sock *)sk, addr);
        if (!address)
            return 0;
        READ(len, address, len);
        if (len > ADDRESS_ROOM)
            len = ADDRESS_ROOM;
        bpf_probe_read_kernel(at, len, FIELD(address, name[0]));
        return len;
    }
    u16 port = 0;
    READ(port, sk, __sk_common.skc_num);
    *(u16 *)at = family;
    *(u16 *)(at + 2) = __builtin_bswap16(port);
    if (family == AF_INET) {
        bpf_probe_read_kernel(at + 4, 4, FIELD(sk, __sk_common.skc_rcv_saddr));
        return 16;
    }
    bpf_probe_read_kernel(at + 8, 16, FIELD(sk, __sk_common.skc_v6_rcv_saddr));
    return 28;
}

/*
 * Every system call of the machine passes here too. The verifier knows what this kind of program is given, so that the way
 * out of it calls no helper at all: each costs more than everything else here where returns are slowed down against speculation.
 */
SEC("tp_btf/sys_exit")
int on_effect(u64 *args)
{
    struct pt_regs *regs = (void *)args[0];
    u64 number64 = SYSCALL_NUMBER(regs);
    u32 number = number64;
    u32 *known = bpf_map_lookup_elem(&calls, &number);
    u32 call = known ? *known : 0;
    if (!call)
        return 0;
    if (call & CALL_EXEC) {
        s64 result = args[1];
        return result < 0 ? exec_failed(regs, number64, result) : 0;
    }
    u64 flags = 0;
    if (CALL_FLAGS(call)) { /* most opens only read: out early */
        flags = CALL_FLAGS(call) == 2 ? SYSCALL_ARG1(regs) : SYSCALL_ARG2(regs);
        if (call & CALL_FLAGS_POINTER) {
            void *at = (void *)flags;
            flags = 0;
            bpf_probe_read_user(&flags, sizeof(flags), at);
        }
        if (call & CALL_IF_WRITES && !(flags & O_WRITES))
            return 0;
    }
    struct task_struct *task = bpf_get_current_task_btf();
    u32 pid = current_process(task);
    if (!is_tracked(pid))
        return 0;

    if (call & CALL_IF_ATTACHES) { /* a tracer makes two others for each call of its tracees */
        u64 request = SYSCALL_ARG0(regs);
        if (request != PTRACE_ATTACH && request != PTRACE_SEIZE)
            return 0;
    }
    if (call & CALL_IF_STRANGER) { /* runtimes wake their own threads with signals */
        if (is_tracked(SYSCALL_ARG0(regs)))
            return 0;
    }
    struct scratch *slot = take_scratch();
    if (!slot) {
        count_lost();
        return 0;
    }
    struct effect_record *record = (void *)slot->data;
    struct loop loop = {slot};
    u32 off = sizeof(*record);
    fill_head(&record->head, KIND_EFFECT, pid, task->pid);
    record->number = number;
    record->result = args[1];
    record->args[0] = SYSCALL_ARG0(regs);
    record->args[1] = SYSCALL_ARG1(regs);
    record->args[2] = SYSCALL_ARG2(regs);
    record->args[3] = SYSCALL_ARG3(regs);
    record->args[4] = SYSCALL_ARG4(regs);
    record->args[5] = SYSCALL_ARG5(regs);
    record->args[6] = flags;
    record->args[7] = 0;
    record->file_mode = 0;
    record->walk1 = 0;
    record->walk2 = 0;
    record->path1_len = 0;
    record->base1_len = 0;
    record->path2_len = 0;
    record->base2_len = 0;
    record->address_len = 0;
    record->socket_type = 0;
    record->socket_family = 0;
    record->address_base_len = 0;
    record->pad = 0;
    bool done = 0;

    u32 which_fd = CALL_FD(call);
    if ((call & CALL_OPENS && record->result >= 0) || which_fd) { /* the file itself says where it is */
        struct file *file = file_of(task, which_fd ? argument(record, which_fd) : (u64)record->result);
        if (file) {
            u32 end = walk_path(&loop, FIELD(file, f_path), off);
            READ(record->file_mode, file, f_mode);
            record->walk1 = slot->walk.flags;
            record->base1_len = end - off;
            off = end & (PREFIX - 1);
            done = 1;
        }
    }
    if (!done && CALL_PATH1(call)) {
        u32 len = copy_path(slot, argument(record, CALL_PATH1(call)), off);
        record->path1_len = len;
        off &= PREFIX - 1;
        bool relative = !len || slot->data[off] != '/'; /* no path at all: the descriptor itself */
        off += len;
        if (relative) {
            u32 end = walk_base(&loop, task, record, CALL_DIRFD1(call), off);
            record->walk1 = slot->walk.flags;
            record->base1_len = end - off;
            off = end;
        }
    }
    if (CALL_PATH2(call)) {
        u32 len = copy_path(slot, argument(record, CALL_PATH2(call)), off);
        record->path2_len = len;
        off &= PREFIX - 1;
        bool relative = !len || slot->data[off] != '/'; /* no path at all: the descriptor itself */
        off += len;
        if (relative) {
            u32 end = walk_base(&loop, task, record, CALL_DIRFD2(call), off);
            record->walk2 = slot->walk.flags;
            record->base2_len = end - off;
            off = end;
        }
    }
    if (call & CALL_SOCKET) {
        struct file *file = file_of(task, record->args[0]);
        struct inode *inode = 0;
        unsigned short mode = 0;
        READ(inode, file, f_inode);
        READ(mode, inode, i_mode);
        struct socket *socket = 0;
        struct sock *sk = 0;
        u16 family = 0;
        if ((mode & S_IFMT) == S_IFSOCK) {
            READ(socket, file, private_data);
            READ(record->socket_type, socket, type);
            READ(sk, socket, sk);
            READ(family, sk, __sk_common.skc_family);
            record->socket_family = family;
        }
        u64 address = 0, len = 0;
        if (CALL_ADDRESS(call)) {
            address = argument(record, CALL_ADDRESS(call));
            len = (u32)argument(record, CALL_ADDRESS(call) + 1);
        } else if (call & CALL_MESSAGE) { /* struct msghdr: a pointer and an int first */
            bpf_probe_read_user(&address, sizeof(address), (void *)record->args[1]);
            bpf_probe_read_user(&len, 4, (void *)(record->args[1] + 8));
        }
        if (call & CALL_IF_ADDRESS && !address) {
            give_back(slot);
            return 0;
        }
        off &= PREFIX - 1;
        u8 *at = &slot->data[off];
        if (address) {
            if (len > ADDRESS_ROOM)
                len = ADDRESS_ROOM;
            BARRIER_VAR(len);
            if (len > ADDRESS_ROOM || bpf_probe_read_user(at, len, (void *)address))
                len = 0;
        } else if (sk && (family == AF_INET || family == AF_INET6 || family == AF_UNIX)) {
            len = own_address(sk, family, at);
        }
        record->address_len = len;
        bool relative = address && len > 2 && *(u16 *)at == AF_UNIX && at[2] && at[2] != '/';
        off += len;
        if (relative) {
            u32 end = walk_base(&loop, task, record, 0, off);
            record->walk1 = slot->walk.flags;
            record->address_base_len = end - off;
            off = end;
        }
    }
    off &= PREFIX + PREFIX - 1;
    if (bpf_ringbuf_output(&ring, record, off, 0))
        count_lost();
    give_back(slot);
    return 0;
}
