/* A disk that fails when it is told to: a library for LD_PRELOAD.
 *
 *   SHIM='CALL#WHEN:FAULT@PATH[;…]'  SHIM_TRACE=FILE  LD_PRELOAD=shim.so PROGRAM
 *
 *   CALL   open mkdir read write sync link rename unlink truncate allocate times stat list lock; see `calls`
 *   WHEN   3: the third such call on PATH or below it. 3-9: the third to the ninth. 3+: the third and all later ones.
 *          0: none, they are only counted
 *   FAULT  the name of an errno (ENOSPC); `late` in front of it: the call is made, then its answer is lost;
 *          `short`: only half of the bytes are read or written
 *
 * SHIM_TRACE gets a line for each call that a rule counts: "sync#3 EIO /tier/.seglift-upload-…", or "ok" where nothing
 * was done to it. So a test proves that its fault has happened.
 *
 * The calls are caught in the kernel's filter (seccomp), which hands them back as a signal, and not by functions of the
 * same names: a program that makes system calls without the C library is caught like any other, and runs unchanged.
 * A call that is let through is made again from here, with a sixth argument that the filter knows and the kernel
 * ignores; so only calls with less than six arguments can be caught. Linux on x86-64 and AArch64. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#if defined __x86_64__
#define ARCH AUDIT_ARCH_X86_64
#define ARGUMENT(c, n) ((c)->uc_mcontext.gregs[(const int[]){REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8}[n]])
#define RESULT(c) ((c)->uc_mcontext.gregs[REG_RAX])
#elif defined __aarch64__
#define ARCH AUDIT_ARCH_AARCH64
#define ARGUMENT(c, n) ((c)->uc_mcontext.regs[n])
#define RESULT(c) ((c)->uc_mcontext.regs[0])
#else
#error "write down how system calls get their arguments here"
#endif

/* The sixth argument of calls that are made from here. Its halves are compared apart: filters have 32 bits. */
#define PASS_LOW 0x5e911f7au
#define PASS_HIGH 0x0d15cu
#define PASS ((long)((uint64_t)PASS_HIGH << 32 | PASS_LOW))

enum shape { FD, AT, AT_AT, PATH, PATH_PATH };

/* Where a call names what it works on. */
static const struct call {
  const char *name;
  int number;
  enum shape shape;
} calls[] = {
    {"open", SYS_openat, AT},        {"mkdir", SYS_mkdirat, AT},      {"read", SYS_read, FD},
    {"read", SYS_pread64, FD},       {"read", SYS_readv, FD},         {"read", SYS_preadv, FD},
    {"write", SYS_write, FD},        {"write", SYS_pwrite64, FD},     {"write", SYS_writev, FD},
    {"write", SYS_pwritev, FD},      {"sync", SYS_fsync, FD},         {"sync", SYS_fdatasync, FD},
    {"link", SYS_linkat, AT_AT},     {"rename", SYS_renameat2, AT_AT}, {"rename", SYS_renameat, AT_AT},
    {"unlink", SYS_unlinkat, AT},    {"truncate", SYS_ftruncate, FD}, {"allocate", SYS_fallocate, FD},
    {"times", SYS_utimensat, AT},    {"stat", SYS_newfstatat, AT},    {"stat", SYS_statx, AT},
    {"stat", SYS_fstat, FD},         {"list", SYS_getdents64, FD},    {"lock", SYS_flock, FD},
#ifdef SYS_open /* The calls that newer architectures have left out. */
    {"open", SYS_open, PATH},        {"mkdir", SYS_mkdir, PATH},      {"unlink", SYS_unlink, PATH},
    {"unlink", SYS_rmdir, PATH},     {"link", SYS_link, PATH_PATH},   {"rename", SYS_rename, PATH_PATH},
    {"stat", SYS_stat, PATH},        {"stat", SYS_lstat, PATH},
#endif
};
#define CALLS (sizeof calls / sizeof *calls)

static const struct { const char *name; int number; } errnos[] = {
    {"ENOSPC", ENOSPC}, {"EIO", EIO}, {"EDQUOT", EDQUOT}, {"ESTALE", ESTALE}, {"EINTR", EINTR}, {"EROFS", EROFS},
    {"EPERM", EPERM}, {"EOPNOTSUPP", EOPNOTSUPP}, {"EACCES", EACCES}, {"EMFILE", EMFILE}, {"ENOLCK", ENOLCK},
};

#define RULES 16
static struct rule {
  char call[16], path[1024];
  long first, last;
  int late, is_short, error;
  const char *fault;
  long count;
} rules[RULES];
static int rule_count, trace = -1;

static void wrong(const char *what) {
  fprintf(stderr, "shim: %s: %s\n", getenv("SHIM"), what);
  abort();
}

static void parse(char *text) {
  for (char *save, *part = strtok_r(text, ";", &save); part != NULL; part = strtok_r(NULL, ";", &save)) {
    struct rule *rule = &rules[rule_count++];
    char when[16], fault[24];
    size_t i;
    if (rule_count > RULES) wrong("too many rules");
    if (sscanf(part, "%15[^#]#%15[^:]:%23[^@]@%1023[^;]", rule->call, when, fault, rule->path) != 4)
      wrong("a rule is CALL#WHEN:FAULT@PATH");
    char *rest;
    rule->first = rule->last = strtol(when, &rest, 10);
    if (rest[0] == '-') rule->last = atol(rest + 1);
    if (rest[0] == '+') rule->last = LONG_MAX;
    if (rest == when || rule->last < rule->first) wrong("WHEN is 3, 3-9, 3+ or 0");
    rule->fault = strdup(fault);
    rule->is_short = strcmp(fault, "short") == 0;
    rule->late = strncmp(fault, "late", 4) == 0;
    for (i = 0; i < sizeof errnos / sizeof *errnos; i++)
      if (strcmp(rule->fault + 4 * rule->late, errnos[i].name) == 0) rule->error = errnos[i].number;
    if (rule->error == 0 && !rule->is_short) wrong("no such fault");
    for (i = 0; i < CALLS && strcmp(calls[i].name, rule->call) != 0; i++) continue;
    if (i == CALLS) wrong("no such call");
  }
}

/* Makes a call that the filter lets through; the answer is as the kernel gives it. */
static long make(long number, const long *a) {
  long answer = syscall(number, a[0], a[1], a[2], a[3], a[4], PASS);
  return answer == -1 ? -errno : answer;
}

/* The path of what a descriptor is open on; what was removed ends in " (deleted)". */
static size_t path_of(int fd, char *path, size_t room) {
  char link[32];
  ssize_t len;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  len = fd == AT_FDCWD ? (ssize_t)strlen(getcwd(path, room) != NULL ? path : "") : readlink(link, path, room - 1);
  len = len < 0 ? 0 : len;
  path[len] = 0;
  return (size_t)len;
}

static void path_at(int fd, const char *name, char *path, size_t room) {
  size_t len = 0;
  if (name == NULL || name[0] != '/') len = path_of(fd, path, room);
  if (name != NULL && name[0] != 0) snprintf(path + len, room - len, "%s%s", name[0] == '/' ? "" : "/", name);
}

static int is_below(const char *path, const char *folder) {
  size_t len = strlen(folder);
  return strncmp(path, folder, len) == 0 && (path[len] == 0 || path[len] == '/' || path[len] == ' ');
}

/* `short`: the first half of what was asked for, or of a list of buffers the first one. */
static void halve(const struct call *call, long *a) {
  int is_list = call->number == SYS_readv || call->number == SYS_preadv || call->number == SYS_writev ||
                call->number == SYS_pwritev;
  if (is_list) a[2] = 1;
  else if (a[2] > 1) a[2] /= 2;
}

static long answer(const struct call *call, long *a) {
  /* From the stack, since several threads are here at once. */
  char path[4096], second[4096], line[9000];
  int len, fails = 0;
  const struct rule *hit = NULL;
  long result;
  second[0] = path[0] = 0;
  switch (call->shape) {
    case FD: path_of((int)a[0], path, sizeof path); break;
    case AT: path_at((int)a[0], (const char *)a[1], path, sizeof path); break;
    case PATH: path_at(AT_FDCWD, (const char *)a[0], path, sizeof path); break;
    case AT_AT:
      path_at((int)a[0], (const char *)a[1], second, sizeof second);
      path_at((int)a[2], (const char *)a[3], path, sizeof path);
      break;
    case PATH_PATH:
      path_at(AT_FDCWD, (const char *)a[0], second, sizeof second);
      path_at(AT_FDCWD, (const char *)a[1], path, sizeof path);
      break;
  }
  for (struct rule *rule = rules; rule < rules + rule_count && !fails; rule++) {
    long n;
    if (strcmp(rule->call, call->name) != 0 || !is_below(path, rule->path)) continue;
    n = __atomic_add_fetch(&rule->count, 1, __ATOMIC_SEQ_CST);
    hit = rule;
    fails = rule->first <= n && n <= rule->last;
    len = snprintf(line, sizeof line, "%s#%ld %s %s%s%s\n", call->name, n, fails ? rule->fault : "ok", path,
                   second[0] != 0 ? " " : "", second);
    if (trace >= 0) make(SYS_write, (long[]){trace, (long)line, len, 0, 0});
  }
  if (fails && hit->error != 0 && !hit->late) return -hit->error;
  if (fails && hit->is_short) halve(call, a);
  result = make(call->number, a);
  return fails && hit->late ? -hit->error : result;
}

static void caught(int signal, siginfo_t *info, void *context) {
  ucontext_t *c = context;
  int before = errno;
  (void)signal;
  for (const struct call *call = calls; call < calls + CALLS; call++) {
    if (call->number != info->si_syscall) continue;
    long a[5];
    for (int i = 0; i < 5; i++) a[i] = (long)ARGUMENT(c, i);
    RESULT(c) = answer(call, a);
    break;
  }
  errno = before;
}

static int is_wanted(const char *name) {
  for (int i = 0; i < rule_count; i++)
    if (strcmp(rules[i].call, name) == 0) return 1;
  return 0;
}

#define LOAD(offset) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset)
#define IS(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
#define END(what) BPF_STMT(BPF_RET | BPF_K, what)

/* Catches the calls that rules name, and nothing else. */
static void install(void) {
  struct sock_filter filter[2 * CALLS + 16];
  unsigned short n = 0;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = caught;
  action.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
  if (sigaction(SIGSYS, &action, NULL) != 0) wrong("no handler of SIGSYS");

  filter[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, arch));
  filter[n++] = (struct sock_filter)IS(ARCH, 1, 0);
  filter[n++] = (struct sock_filter)END(SECCOMP_RET_ALLOW);
  filter[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, args[5]));
  filter[n++] = (struct sock_filter)IS(PASS_LOW, 0, 3);
  filter[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, args[5]) + 4);
  filter[n++] = (struct sock_filter)IS(PASS_HIGH, 0, 1);
  filter[n++] = (struct sock_filter)END(SECCOMP_RET_ALLOW);
  filter[n++] = (struct sock_filter)LOAD(offsetof(struct seccomp_data, nr));
  for (size_t i = 0; i < CALLS; i++) {
    if (!is_wanted(calls[i].name)) continue;
    filter[n++] = (struct sock_filter)IS((unsigned)calls[i].number, 0, 1);
    filter[n++] = (struct sock_filter)END(SECCOMP_RET_TRAP);
  }
  /* It has six arguments. A disk that must be waited for gives the same answer to who would not wait. */
  filter[n++] = (struct sock_filter)IS(SYS_preadv2, 0, 1);
  filter[n++] = (struct sock_filter)END(SECCOMP_RET_ERRNO | EOPNOTSUPP);
  filter[n++] = (struct sock_filter)END(SECCOMP_RET_ALLOW);
  struct sock_fprog program = {n, filter};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) wrong("the kernel refuses PR_SET_NO_NEW_PRIVS");
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) wrong("the kernel refuses the filter");
}

__attribute__((constructor)) static void begin(void) {
  const char *text = getenv("SHIM"), *file = getenv("SHIM_TRACE");
  if (text == NULL || text[0] == 0) return;
  parse(strdup(text));
  if (file != NULL) {
    /* A high number, so that the program gets the descriptors that it would have without us. */
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    trace = fcntl(fd, F_DUPFD_CLOEXEC, 900);
    if (fd < 0 || trace < 0) wrong("SHIM_TRACE cannot be written");
    close(fd);
  }
  install();
}
