// Shows the thread sanitizer the locks of the Swift library; loaded before it by scripts/sanitize.sh.
//
// `Mutex` takes a free lock by an atomic operation that is compiled into whoever uses it, where the sanitizer sees it.
// When it has to wait, it does so inside of libswiftSynchronization and of the kernel, where the sanitizer sees nothing:
// whatever two threads did one after the other under that lock is then a race to it. So the slow ways tell it.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>
#include <stdint.h>

#define SWIFT __attribute__((swiftcall))
#define SELF __attribute__((swift_context)) void *self

#define LOCK "$s15Synchronization12_MutexHandleV9_lockSlowyys6UInt32VF"
#define TRY_LOCK "$s15Synchronization12_MutexHandleV12_tryLockSlowSbyF"
#define UNLOCK "$s15Synchronization12_MutexHandleV11_unlockSlowyyF"

// Of the sanitizer; absent in programs that were built without it.
__attribute__((weak)) void __tsan_acquire(void *lock);
__attribute__((weak)) void __tsan_release(void *lock);

SWIFT void slow_lock(uint32_t thread, SELF) __asm__(LOCK);
SWIFT bool slow_try_lock(SELF) __asm__(TRY_LOCK);
SWIFT void slow_unlock(SELF) __asm__(UNLOCK);

SWIFT void slow_lock(uint32_t thread, SELF) {
    static SWIFT void (*library)(uint32_t, SELF);
    if (!library) library = (SWIFT void (*)(uint32_t, SELF))dlsym(RTLD_NEXT, LOCK);
    library(thread, self);
    if (__tsan_acquire) __tsan_acquire(self);
}

SWIFT bool slow_try_lock(SELF) {
    static SWIFT bool (*library)(SELF);
    if (!library) library = (SWIFT bool (*)(SELF))dlsym(RTLD_NEXT, TRY_LOCK);
    bool is_taken = library(self);
    if (is_taken && __tsan_acquire) __tsan_acquire(self);
    return is_taken;
}

SWIFT void slow_unlock(SELF) {
    static SWIFT void (*library)(SELF);
    if (!library) library = (SWIFT void (*)(SELF))dlsym(RTLD_NEXT, UNLOCK);
    if (__tsan_release) __tsan_release(self);
    library(self);
}
