import Foundation
import Testing

@testable import OpenSSL

@Suite struct `A secret in memory` {
    @Test(arguments: [
        ("", "", true), ("a", "a", true), ("a", "b", false), ("a", "", false), ("abc", "abd", false),
        ("abc", "xbc", false), ("abc", "abcd", false), ("a\u{0}b", "a\u{0}c", false),
    ])
    func `equals another of the same bytes and no other`(_ one: String, _ other: String, _ equal: Bool) {
        let (left, right) = (SecretBytes(Array(one.utf8)), SecretBytes(Array(other.utf8)))
        #expect((left == right) == equal)
        #expect((right == left) == equal)
    }

    @Test func `equals one of 64 KiB that differs in no bit, wherever a bit could`() {
        let bytes = (0..<65_536).map { UInt8(truncatingIfNeeded: $0) }
        #expect(SecretBytes(bytes) == SecretBytes(bytes))
        for index in [0, 1, 4095, 4096, 65_535] {
            var other = bytes
            other[index] ^= 0x80
            #expect(SecretBytes(bytes) != SecretBytes(other))
        }
    }

    @Test func `is neither encoded, hashed, ordered nor iterated, so that nothing looks at its bytes by accident`() {
        for value: Any in [SecretBytes([1]), SecretBuffer(capacity: 1)] {
            #expect(!(value is any Encodable))
            #expect(!(value is any Decodable))
            #expect(!(value is any Hashable))
            #expect(!(value is any Comparable))
            #expect(!(value is any Sequence))
            #expect(!(value is any LosslessStringConvertible))
        }
        #expect(!(SecretBuffer(capacity: 1) as Any is any Equatable))
    }

    @Test func `shows in no printed form while it arrives`() {
        let bytes = Array("hunter2!hunter2!hunter2!hunter2!".utf8)
        let buffer = SecretBuffer(capacity: 64)
        #expect(buffer.take(bytes))
        for text in SecrecyTests.renderings(buffer) + SecrecyTests.renderings([buffer.secret]) {
            for spelling in SecrecyTests.spellings(bytes) { #expect(!text.contains(spelling), "\(text)") }
        }
    }

    @Test func `that arrives in pieces is whole, up to the room there is, and a piece too many adds nothing`() {
        let buffer = SecretBuffer(capacity: 5)
        let (one, two): ([UInt8], [UInt8]) = ([1, 0, 3], [4, 5, 6])
        #expect(buffer.take([]) && buffer.secret.array == [])
        #expect(buffer.take(one))
        #expect(!buffer.take(two))
        #expect(buffer.count == 3 && buffer.secret.array == [1, 0, 3])
        #expect(buffer.take([4, 5]))
        #expect(!buffer.take([1]))
        #expect(buffer.take([]))
        #expect(buffer.secret.array == [1, 0, 3, 4, 5])
    }

    /// What this process has at an address, asked of the kernel: also where the memory was given back.
    private static func memory(at address: UInt, _ count: Int) throws -> [UInt8] {
        let file = try FileHandle(forReadingFrom: URL(filePath: "/proc/self/mem"))
        try file.seek(toOffset: UInt64(address))
        return Array(try file.read(upToCount: count) ?? Data())
    }

    private static func holds(_ pattern: [UInt8], _ address: UInt, _ count: Int) throws -> Bool {
        try Data(memory(at: address, count)).range(of: Data(pattern)) != nil
    }

    @Test func `is wiped where it was when nobody holds it any more`() throws {
        // Seen nowhere else, and not so long that the allocator would unmap it.
        let pattern = try SecureRandom.bytes(64)
        let count = 64 * 64
        var secret: SecretBytes? = SecretBytes([[UInt8]](repeating: pattern, count: 64).flatMap { $0 })
        let address = try #require(secret?.address)
        #expect(try Self.holds(pattern, address, count))
        secret = nil
        #expect(try !Self.holds(pattern, address, count))

        var buffer: SecretBuffer? = SecretBuffer(capacity: count)
        for _ in 0..<60 { _ = buffer?.append(pattern.span) }
        secret = buffer?.secret
        let copied = try #require(secret?.address)
        buffer = nil
        secret = nil
        // Behind it are others' bytes, among them what this test has read before.
        #expect(try !Self.holds(pattern, copied, 60 * 64))
    }
}

extension SecretBuffer {
    // The expectation macros cannot hold a span.
    fileprivate func take(_ bytes: [UInt8]) -> Bool { append(bytes.span) }
}

extension SecretBytes {
    fileprivate var address: UInt {
        withSpan { span in span.withUnsafeBytes { UInt(bitPattern: $0.baseAddress) } }
    }
}
