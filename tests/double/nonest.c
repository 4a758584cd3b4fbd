/* SPDX-License-Identifier: MIT */
/*
 * For a Cloud Hypervisor on a KVM that has no KVM_GET_NESTED_STATE (kvm_pvm),
 * which it asks for without a look whether it is there: answers that there is
 * no nested guest. Nothing else is changed.
 */
#include <errno.h>
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

int ioctl(int fd, unsigned long request, ...)
{
	va_list ap;
	void *arg;
	long r;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	r = syscall(SYS_ioctl, fd, request, arg);
	if (r < 0 && errno == EINVAL && request == KVM_GET_NESTED_STATE) {
		struct kvm_nested_state *s = arg;

		s->size = sizeof(*s);
		return 0;
	}
	return (int)r;
}
