/* SPDX-License-Identifier: MIT */
/*
 * The smallest guest that a test of the life cycle needs: a multiboot kernel
 * that is up in a blink. It greets on the serial port and echoes what it
 * reads, `q` switches the machine off, `d` makes it deaf to the power button,
 * `b` babbles until the next key, `?` prints its kernel command line, `+`
 * counts: the number is in its memory alone, so it tells of a snapshot what of
 * its guest lives on.
 *
 *     as --32 -o miniguest.o miniguest.S &&
 *     ld -m elf_i386 -Ttext 0x100000 -o miniguest miniguest.o
 */
	.set COM, 0x3f8
	.set PM1_STS, 0x600	/* where SeaBIOS puts q35's ACPI registers */
	.set PM1_EN, 0x602
	.set PM1_CNT, 0x604
	.set BUTTON, 0x100

	.text
	.globl _start
	.align 4
	.long 0x1badb002, 0, -0x1badb002
_start:
	mov $stack, %esp
	mov %ebx, info
	lgdt gdtr
	ljmp $8, $1f
1:	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	/* Every interrupt only wakes the processor up. */
	mov $idt, %edi
	mov $48, %ecx
2:	mov $wake, %eax
	mov %ax, (%edi)
	movw $8, 2(%edi)
	movw $0x8e00, 4(%edi)
	shr $16, %eax
	mov %ax, 6(%edi)
	add $8, %edi
	loop 2b
	lidt idtr
	/* Interrupts 32.., of the timer (18 Hz) and the serial port alone. */
	mov $pic, %esi
3:	movzwl (%esi), %edx
	test %edx, %edx
	jz 4f
	movb 2(%esi), %al
	outb %al, %dx
	add $3, %esi
	jmp 3b
4:	mov $PM1_EN, %edx
	mov $BUTTON, %eax
	outw %ax, %dx
	mov $hello, %esi
	call puts
	sti

idle:	call getc
	jnz key
	testb $1, babbling
	jz 5f
	mov $babble, %esi
	call puts
	jmp idle
5:	mov $PM1_STS, %edx
	inw %dx, %ax
	test $BUTTON, %eax
	jz 6f
	testb $1, deaf
	jz off
6:	hlt
	jmp idle

key:	movb $0, babbling
	cmp $'q', %al
	je off
	cmp $'d', %al
	je deafen
	cmp $'b', %al
	je start_babble
	cmp $'?', %al
	je cmdline
	cmp $'+', %al
	je count
	call putc
	jmp idle

deafen:	movb $1, deaf
	mov $deaf_text, %esi
	call puts
	jmp idle
start_babble:
	movb $1, babbling
	jmp idle
	/* "count N", six digits. */
count:	incl counter
	mov counter, %eax
	mov $digits + 5, %edi
	mov $10, %ebx
10:	xor %edx, %edx
	div %ebx
	add $'0', %dl
	mov %dl, (%edi)
	dec %edi
	cmp $digits, %edi
	jae 10b
	mov $count_text, %esi
	call puts
	jmp idle
cmdline:
	mov info, %ebx
	mov 16(%ebx), %esi
	call puts
	mov $newline, %esi
	call puts
	jmp idle
off:	mov $bye, %esi
	call puts
	mov $PM1_CNT, %edx
	mov $0x2000, %eax
	outw %ax, %dx
halt:	cli
	hlt
	jmp halt

/* ZF clear: a character in %al. */
getc:	mov $COM + 5, %edx
	inb %dx, %al
	test $1, %al
	jz 7f
	mov $COM, %edx
	inb %dx, %al
	or $0x100, %eax
7:	ret

putc:	mov %eax, %ecx
	mov $COM + 5, %edx
8:	inb %dx, %al
	test $0x20, %al
	jz 8b
	mov %ecx, %eax
	mov $COM, %edx
	outb %al, %dx
	ret

puts:	lodsb
	test %al, %al
	jz 9f
	call putc
	jmp puts
9:	ret

wake:	push %eax
	mov $0x20, %al
	outb %al, $0x20
	pop %eax
	iret

	/* The KVM probe waits for the first two words. */
hello:	.asciz "Linux version of nothing: a test guest is up\r\n"
bye:	.asciz "going down\r\n"
deaf_text: .asciz "deaf now\r\n"
babble:	.asciz "the quick brown fox jumps over the lazy dog, again and again\r\n"
newline: .asciz "\r\n"
/* Port, value. */
pic:	.word 0x20; .byte 0x11
	.word 0x21; .byte 0x20
	.word 0x21; .byte 0x04
	.word 0x21; .byte 0x01
	.word 0x21; .byte 0xee
	.word 0xa1; .byte 0xff
	.word COM + 1; .byte 0x01
	.word COM + 4; .byte 0x0b
	.word 0
	.align 8
gdt:	.quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:	.word 23
	.long gdt
idtr:	.word 48 * 8 - 1
	.long idt

	.data
count_text: .ascii "count "
digits:	.asciz "000000\r\n"
counter: .long 0
deaf:	.byte 0
babbling: .byte 0
	.bss
	.lcomm info, 4
	.align 16
	.lcomm idt, 384
	.space 4096
stack:
