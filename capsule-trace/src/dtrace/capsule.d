/*
 * Follows the process $1 and all that comes of it. One line an event, each printed by one clause, so that lines of
 * different cpus do not mix. Nothing of other processes is printed.
 */
#pragma D option quiet
#pragma D option strsize=1024
#pragma D option bufsize=16m
#pragma D option dynvarsize=16m
#pragma D option switchrate=50hz
#pragma D option aggrate=50hz

inline int LONGEST = 1024;

/* What macOS's psinfo_t says of the current process. */
inline int ARGC = curpsinfo->pr_argc;
inline uintptr_t ARGV = curpsinfo->pr_argv;
inline int STATUS = curpsinfo->pr_wstat;

BEGIN
{
	tracked[$1] = 1;
	printf("capsule ready\n");
}

proc:::create
/tracked[pid]/
{
	tracked[args[0]->pr_pid] = 1;
	printf("capsule create %d %d\n", pid, args[0]->pr_pid);
}

proc:::exec
/tracked[pid]/
{
	self->path = args[0];
}

proc:::exec-failure
/tracked[pid]/
{
	printf("capsule exec-failed %d %d \"%S\" []\n", pid, args[0], self->path);
	self->path = 0;
}

/* The new program's memory is complete only when it makes its first call: its arguments are read there. */
proc:::exec-success
/tracked[pid]/
{
	fresh[pid] = 1;
	self->path = 0;
}

syscall::mmap:return,
syscall::bsdthread_register:return
/fresh[pid]/
{
	fresh[pid] = 0;
	this->argc = ARGC;
	this->argv = (uint64_t *)copyin(ARGV, sizeof (uint64_t) * this->argc);
	printf("capsule exec %d %d %d %d %d %d %d %d - - [", pid, curpsinfo->pr_ppid, curpsinfo->pr_uid,
	    curpsinfo->pr_euid, curpsinfo->pr_gid, curpsinfo->pr_egid, curpsinfo->pr_sid, curpsinfo->pr_pgid);
/* ARGUMENTS */
}

/* A program that ends before its first call: that it executed is told all the same. */
proc:::exit
/fresh[pid]/
{
	fresh[pid] = 0;
	printf("capsule exec %d %d - - - - - - - - []\n", pid, curpsinfo->pr_ppid);
}

proc:::exit
/tracked[pid]/
{
	tracked[pid] = 0;
	printf("capsule exit %d %d\n", pid, STATUS);
}
