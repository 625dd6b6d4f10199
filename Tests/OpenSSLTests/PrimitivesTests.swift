import OpenSSL
import Testing
import VectorFiles

@Suite struct PrimitivesTests {
    /// FIPS 180-4's examples, and the empty message.
    @Test(arguments: [
        (HashAlgorithm.sha256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (.sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (
            .sha256, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        (
            .sha384, "abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
        ),
        (
            .sha512, "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        ),
    ]) func `a digest is the published one`(_ hash: HashAlgorithm, _ message: String, _ expected: String) {
        let digest = hash.digest(Array(message.utf8))
        #expect(digest.hexadecimal == expected)
        #expect(digest.count == hash.digestLength)
    }

    @Test func `random bytes have the length asked for and do not repeat`() throws {
        for count in [0, 1, 16, 33] { #expect(try SecureRandom.bytes(count).count == count) }
        let drawn = try (0..<1000).map { _ in try SecureRandom.bytes(16) }
        #expect(Set(drawn).count == 1000)
    }

    @Test func `moving bytes into a secret wipes the original`() {
        var original: [UInt8] = Array("hunter2".utf8)
        let secret = SecretBytes(moving: &original)
        #expect(original == [UInt8](repeating: 0, count: 7))
        #expect(secret.array == Array("hunter2".utf8))
        #expect(secret.count == 7)
    }

    @Test func `a secret may be empty`() {
        var nothing: [UInt8] = []
        #expect(SecretBytes(nothing).count == 0)
        #expect(SecretBytes(nothing).array == [])
        #expect(SecretBytes(moving: &nothing).array == [])
    }
}
