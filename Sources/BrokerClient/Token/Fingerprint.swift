import Crypto

/// What stands for a text where the text itself must not be: in the key and the name of a cache entry.
enum Fingerprint {
    /// - Returns: SHA-256 in 64 hexadecimal digits.
    static func hexadecimal(of bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        let digest = SHA256.hash(data: Array(bytes))
        return String(decoding: digest.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}
