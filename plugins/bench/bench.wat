;; What `bulkhead bench` calls: a core module that gives back 64 bytes, and three jobs for the speed of code.
(module
    ;; 0: SHA-256's constants; 256: its schedule; 512: one block of input, "abc" with its padding; 4096: the sieve.
    (memory 4)
    (data (i32.const 0)
        "\98\2f\8a\42\91\44\37\71\cf\fb\c0\b5\a5\db\b5\e9\5b\c2\56\39\f1\11\f1\59\a4\82\3f\92\d5\5e\1c\ab"
        "\98\aa\07\d8\01\5b\83\12\be\85\31\24\c3\7d\0c\55\74\5d\be\72\fe\b1\de\80\a7\06\dc\9b\74\f1\9b\c1"
        "\c1\69\9b\e4\86\47\be\ef\c6\9d\c1\0f\cc\a1\0c\24\6f\2c\e9\2d\aa\84\74\4a\dc\a9\b0\5c\da\88\f9\76"
        "\52\51\3e\98\6d\c6\31\a8\c8\27\03\b0\c7\7f\59\bf\f3\0b\e0\c6\47\91\a7\d5\51\63\ca\06\67\29\29\14"
        "\85\0a\b7\27\38\21\1b\2e\fc\6d\2c\4d\13\0d\38\53\54\73\0a\65\bb\0a\6a\76\2e\c9\c2\81\85\2c\72\92"
        "\a1\e8\bf\a2\4b\66\1a\a8\70\8b\4b\c2\a3\51\6c\c7\19\e8\92\d1\24\06\99\d6\85\35\0e\f4\70\a0\6a\10"
        "\16\c1\a4\19\08\6c\37\1e\4c\77\48\27\b5\bc\b0\34\b3\0c\1c\39\4a\aa\d8\4e\4f\ca\9c\5b\f3\6f\2e\68"
        "\ee\82\8f\74\6f\63\a5\78\14\78\c8\84\08\02\c7\8c\fa\ff\be\90\eb\6c\50\a4\f7\a3\f9\be\f2\78\71\c6")
    (data (i32.const 512) "\61\62\63\80")
    (data (i32.const 575) "\18")

    ;; 64 bytes in, the same 64 out.
    (func (export "echo")
        (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64 i64 i64 i64 i64 i64 i64 i64)
        local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 local.get 6 local.get 7)

    ;; Calls.
    (func $fib (export "fib") (param $n i32) (result i32)
        (if (result i32) (i32.lt_s (local.get $n) (i32.const 2))
            (then (local.get $n))
            (else (i32.add
                (call $fib (i32.sub (local.get $n) (i32.const 1)))
                (call $fib (i32.sub (local.get $n) (i32.const 2)))))))

    ;; Memory: the number of primes below $n, which is at most 200,000.
    (func (export "sieve") (param $n i32) (result i32)
        (local $i i32) (local $j i32) (local $found i32)
        (memory.fill (i32.const 4096) (i32.const 0) (local.get $n))
        (local.set $i (i32.const 2))
        (block $end (loop $next
            (br_if $end (i32.ge_u (local.get $i) (local.get $n)))
            (if (i32.eqz (i32.load8_u offset=4096 (local.get $i))) (then
                (local.set $found (i32.add (local.get $found) (i32.const 1)))
                (local.set $j (i32.add (local.get $i) (local.get $i)))
                (block $done (loop $strike
                    (br_if $done (i32.ge_u (local.get $j) (local.get $n)))
                    (i32.store8 offset=4096 (local.get $j) (i32.const 1))
                    (local.set $j (i32.add (local.get $j) (local.get $i)))
                    (br $strike)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (local.get $found))

    ;; The big-endian word at an address.
    (func $word (param $at i32) (result i32) (local $w i32)
        (local.set $w (i32.load (local.get $at)))
        (i32.or
            (i32.and (i32.rotl (local.get $w) (i32.const 8)) (i32.const 0x00ff00ff))
            (i32.and (i32.rotr (local.get $w) (i32.const 8)) (i32.const 0xff00ff00))))

    ;; Arithmetic and memory: SHA-256 over the block so many times; the first word of the state.
    (func (export "sha256") (param $blocks i32) (result i32)
        (local $i i32) (local $t i32) (local $u i32)
        (local $a i32) (local $b i32) (local $c i32) (local $d i32)
        (local $e i32) (local $f i32) (local $g i32) (local $h i32)
        (local $h0 i32)
        (local $h1 i32)
        (local $h2 i32)
        (local $h3 i32)
        (local $h4 i32)
        (local $h5 i32)
        (local $h6 i32)
        (local $h7 i32)
        (local.set $h0 (i32.const 0x6a09e667))
        (local.set $h1 (i32.const 0xbb67ae85))
        (local.set $h2 (i32.const 0x3c6ef372))
        (local.set $h3 (i32.const 0xa54ff53a))
        (local.set $h4 (i32.const 0x510e527f))
        (local.set $h5 (i32.const 0x9b05688c))
        (local.set $h6 (i32.const 0x1f83d9ab))
        (local.set $h7 (i32.const 0x5be0cd19))
        (block $end (loop $block
            (br_if $end (i32.eqz (local.get $blocks)))
            (local.set $blocks (i32.sub (local.get $blocks) (i32.const 1)))
            (local.set $i (i32.const 0))
            (loop $copy
                (i32.store offset=256 (local.get $i) (call $word (i32.add (local.get $i) (i32.const 512))))
                (local.set $i (i32.add (local.get $i) (i32.const 4)))
                (br_if $copy (i32.lt_u (local.get $i) (i32.const 64))))
            (loop $extend
                (local.set $t (i32.load offset=196 (local.get $i)))
                (local.set $u (i32.load offset=248 (local.get $i)))
                (i32.store offset=256 (local.get $i) (i32.add
                    (i32.add (i32.load offset=192 (local.get $i)) (i32.load offset=228 (local.get $i)))
                    (i32.add
                        (i32.xor (i32.xor (i32.rotr (local.get $t) (i32.const 7)) (i32.rotr (local.get $t) (i32.const 18)))
                            (i32.shr_u (local.get $t) (i32.const 3)))
                        (i32.xor (i32.xor (i32.rotr (local.get $u) (i32.const 17)) (i32.rotr (local.get $u) (i32.const 19)))
                            (i32.shr_u (local.get $u) (i32.const 10))))))
                (local.set $i (i32.add (local.get $i) (i32.const 4)))
                (br_if $extend (i32.lt_u (local.get $i) (i32.const 256))))
            (local.set $a (local.get $h0))
            (local.set $b (local.get $h1))
            (local.set $c (local.get $h2))
            (local.set $d (local.get $h3))
            (local.set $e (local.get $h4))
            (local.set $f (local.get $h5))
            (local.set $g (local.get $h6))
            (local.set $h (local.get $h7))
            (local.set $i (i32.const 0))
            (loop $round
                (local.set $t (i32.add
                    (i32.add (local.get $h) (i32.add (i32.load (local.get $i)) (i32.load offset=256 (local.get $i))))
                    (i32.add
                        (i32.xor (i32.rotr (local.get $e) (i32.const 6))
                            (i32.xor (i32.rotr (local.get $e) (i32.const 11)) (i32.rotr (local.get $e) (i32.const 25))))
                        (i32.xor (local.get $g)
                            (i32.and (local.get $e) (i32.xor (local.get $f) (local.get $g)))))))
                (local.set $u (i32.add
                    (i32.xor (i32.rotr (local.get $a) (i32.const 2))
                        (i32.xor (i32.rotr (local.get $a) (i32.const 13)) (i32.rotr (local.get $a) (i32.const 22))))
                    (i32.or (i32.and (local.get $a) (local.get $b))
                        (i32.and (local.get $c) (i32.or (local.get $a) (local.get $b))))))
                (local.set $h (local.get $g))
                (local.set $g (local.get $f))
                (local.set $f (local.get $e))
                (local.set $e (i32.add (local.get $d) (local.get $t)))
                (local.set $d (local.get $c))
                (local.set $c (local.get $b))
                (local.set $b (local.get $a))
                (local.set $a (i32.add (local.get $t) (local.get $u)))
                (local.set $i (i32.add (local.get $i) (i32.const 4)))
                (br_if $round (i32.lt_u (local.get $i) (i32.const 256))))
            (local.set $h0 (i32.add (local.get $h0) (local.get $a)))
            (local.set $h1 (i32.add (local.get $h1) (local.get $b)))
            (local.set $h2 (i32.add (local.get $h2) (local.get $c)))
            (local.set $h3 (i32.add (local.get $h3) (local.get $d)))
            (local.set $h4 (i32.add (local.get $h4) (local.get $e)))
            (local.set $h5 (i32.add (local.get $h5) (local.get $f)))
            (local.set $h6 (i32.add (local.get $h6) (local.get $g)))
            (local.set $h7 (i32.add (local.get $h7) (local.get $h)))
            (br $block)))
        (local.get $h0)))
