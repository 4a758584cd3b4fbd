/* SPDX-License-Identifier: MIT */
/*
 * As miniguest.S, for Firecracker and Cloud Hypervisor: entered by PVH, an
 * ELF64 file once objcopy has rewritten it. It greets on the serial port and
 * echoes what it reads, `q` resets the machine, as does Ctrl-Alt-Del, `d`
 * makes it deaf to that, `?` prints the kernel command line, `+` counts: the
 * number is in its memory alone; `W` and `R` are of pvhdisk.S.
 *
 *     cc -m32 -c pvhguest.S pvhdisk.S
 *     ld -m elf_i386 -N -Ttext 0x1000000 --section-start=.note.Xen=0x1004000 \
 *         -o g pvhguest.o pvhdisk.o
 *     objcopy -I elf32-i386 -O elf64-x86-64 g
 *
 * It runs where KVM interprets all of a guest (kvm_pvm), too: there is no
 * iret there. So an interrupt, which comes only while `nap` halts, takes its
 * frame off the stack and returns from `nap`.
 */
	.set COM, 0x3f8
	.set APIC, 0xfee00000

	.section .note.Xen, "a", @note
	.align 4
	.long 4, 4, 18		/* XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long _start

	.text
	.globl _start, puts, digits
_start:
	cli
	cld
	mov $stack, %esp
	mov %ebx, info
	lgdt gdtr
	ljmp $8, $1f
1:	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $idt, %edi
	mov $256, %ecx
2:	mov $wake, %eax
	mov %ax, (%edi)
	movw $8, 2(%edi)
	movw $0x8e00, 4(%edi)
	shr $16, %eax
	mov %ax, 6(%edi)
	add $8, %edi
	loop 2b
	lidt idtr
	mov $0xff, %al		/* no interrupts but those of the APIC's timer */
	outb %al, $0x21
	outb %al, $0xa1
	movl $0x1ff, APIC + 0xf0
	movl $0xb, APIC + 0x3e0
	movl $0x20020, APIC + 0x320
	movl $10000000, APIC + 0x380
	mov $hello, %esi
	call puts

idle:	call nap
keys:	inb $0x64, %al		/* the keyboard: Del is e0 71 */
	test $1, %al
	jz port
	inb $0x60, %al
	cmp $0x71, %al
	jne keys
	testb $1, deaf
	jnz keys
	jmp reset
port:	mov $COM + 5, %edx
	inb %dx, %al
	test $1, %al
	jz idle
	mov $COM, %edx
	inb %dx, %al
	cmp $'q', %al
	je reset
	cmp $'d', %al
	jne 1f
	movb $1, deaf
1:	cmp $'?', %al
	je about
	cmp $'+', %al
	je count
	cmp $'W', %al
	je write
	cmp $'R', %al
	je read
	call putc
	jmp port

about:	mov info, %ebx
	mov 24(%ebx), %esi
	test %esi, %esi
	jz 1f
	call puts
1:	mov $newline, %esi
	call puts
	jmp port

write:	call disk_write
	jmp port
read:	call disk_read
	jmp port
	/* "count N", six digits. */
count:	incl counter
	mov counter, %eax
	mov $digits + 5, %edi
	mov $10, %ebx
1:	xor %edx, %edx
	div %ebx
	add $'0', %dl
	mov %dl, (%edi)
	dec %edi
	cmp $digits, %edi
	jae 1b
	mov $count_text, %esi
	call puts
	jmp port

reset:	mov $bye, %esi
	call puts
	mov $0xfe, %al
	outb %al, $0x64
	mov $0x34, %al		/* Cloud Hypervisor's way out */
	mov $0x3c0, %edx
	outb %al, %dx
	mov $0x600, %edx
	outb %al, %dx
1:	hlt
	jmp 1b

nap:	sti
	hlt
	cli
	ret
wake:	movl $0, APIC + 0xb0
	add $12, %esp
	ret

puts:	lodsb
	test %al, %al
	jz 1f
	call putc
	jmp puts
1:	ret

putc:	push %eax
	mov $COM + 5, %edx
1:	inb %dx, %al
	test $0x20, %al
	jz 1b
	mov $COM, %edx
	pop %eax
	outb %al, %dx
	ret

hello:	.asciz "guest is up\r\n"
bye:	.asciz "guest goes\r\n"
newline: .asciz "\r\n"
count_text: .ascii "count "
digits:	.asciz "000000\r\n"
	.align 8
gdt:	.quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:	.word 23
	.long gdt
idtr:	.word 2047
	.long idt
counter: .long 0
deaf:	.byte 0

	.bss
	.align 16
info:	.long 0
idt:	.space 2048
	.space 4096
stack:
