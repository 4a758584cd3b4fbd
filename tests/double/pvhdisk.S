/* SPDX-License-Identifier: MIT */
/*
 * A disk for pvhguest.S on Cloud Hypervisor: virtio-blk of PCI, polled. `W`
 * writes the number that `+` has come to into a sector of the first disk that
 * can be written, `R` prints what is there.
 */
	.set BLK, 0x10421af4
	.set SECTOR, 120000
	.set SIZE, 8		/* of the ring */
	.set STATUS, 20		/* offsets in the common configuration */
	.set NOTIFY, 0x6000

	.text
	.globl disk_write, disk_read
disk_write:
	mov $digits, %esi
	mov $data, %edi
	mov $6, %ecx
	rep movsb
	mov $1, %eax
	call request
	mov $wrote_text, %esi
	jmp puts
disk_read:
	xor %eax, %eax
	mov %eax, data		/* not what memory has of it */
	mov %eax, data + 4
	call request
	mov $data, %esi
	mov $disk_digits, %edi
	mov $6, %ecx
	rep movsb
	mov $disk_text, %esi
	jmp puts

	/* %eax: 1 to write, 0 to read */
request:
	mov %eax, head
	movl $SECTOR, head + 8
	cmpl $0, bar
	jne 1f
	call find
1:	movl $head, desc
	movl $16, desc + 8
	movl $0x10001, desc + 12	/* flags: there is a next, 1 */
	movl $data, desc + 16
	movl $512, desc + 24
	movl $0x20001, desc + 28
	testb $1, head
	jnz 2f
	movl $0x20003, desc + 28	/* the device writes it */
2:	movl $done, desc + 32
	movl $1, desc + 40
	movl $2, desc + 44
	incw avail + 2		/* each of the ring names descriptor 0 */
	mov bar, %edi
	xor %eax, %eax
	movw %ax, NOTIFY(%edi)
3:	mov used + 2, %ax
	cmp avail + 2, %ax
	jne 3b
	ret

find:	mov $0x80000000, %ebx
1:	add $0x800, %ebx	/* the next slot of bus 0 */
	cmp $0x80010000, %ebx
	je none
	mov %ebx, %eax
	call config
	cmp $BLK, %eax
	jne 1b
	lea 4(%ebx), %eax
	call config
	or $6, %eax		/* memory and bus master */
	outl %eax, %dx
	lea 0x10(%ebx), %eax
	call config
	and $~15, %eax
	mov %eax, %edi
	movl $0, (%edi)
	mov 4(%edi), %eax
	test $0x20, %eax	/* VIRTIO_BLK_F_RO */
	jnz 1b
	movb $0, STATUS(%edi)
	movb $1, STATUS(%edi)
	movb $3, STATUS(%edi)
	movl $0, 8(%edi)
	movl $0, 12(%edi)
	movl $1, 8(%edi)
	movl $1, 12(%edi)	/* VIRTIO_F_VERSION_1 */
	movb $11, STATUS(%edi)
	movw $0xffff, 16(%edi)
	movw $0, 22(%edi)
	movw $SIZE, 24(%edi)
	movw $0xffff, 26(%edi)
	movl $desc, 32(%edi)
	movl $0, 36(%edi)
	movl $avail, 40(%edi)
	movl $0, 44(%edi)
	movl $used, 48(%edi)
	movl $0, 52(%edi)
	movw $1, 28(%edi)
	movb $15, STATUS(%edi)
	mov %edi, bar
	ret
none:	mov $none_text, %esi
	call puts
	cli
2:	hlt
	jmp 2b

	/* %eax: address; its value. %dx is the port of the data. */
config:	mov $0xcf8, %edx
	outl %eax, %dx
	mov $0xcfc, %edx
	inl %dx, %eax
	ret

wrote_text: .asciz "wrote\r\n"
disk_text: .ascii "disk "
disk_digits: .asciz "000000\r\n"
none_text: .asciz "no disk\r\n"

	.bss
	.balign 512
data:	.space 512
desc:	.space 16 * SIZE
avail:	.space 4 + 2 * SIZE + 2
	.balign 4
used:	.space 4 + 8 * SIZE + 2
	.balign 8
head:	.space 16
bar:	.space 4
done:	.space 4
