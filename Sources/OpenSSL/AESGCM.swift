import COpenSSL

/// A 256-bit key for AES-GCM (SP 800-38D) with a random 96-bit nonce per message.
///
/// A sealed message is `nonce (12) ‖ ciphertext ‖ tag (16)`. With random nonces one key may seal 2³² messages; what is
/// sealed here (signing keys, credentials) stays many orders below that.
package struct AESGCMKey: Sendable {
    package static let length = 32
    static let nonceLength = 12
    static let tagLength = 16

    private let key: SecretBytes

    /// - Returns: nil unless `key` has exactly 32 bytes.
    package init?(_ key: SecretBytes) {
        guard key.count == Self.length else { return nil }
        self.key = key
    }

    /// `plaintext` sealed; `associatedData` is authenticated and has to be given again to open it.
    package func seal(_ plaintext: Span<UInt8>, associatedData: [UInt8]) throws(OpenSSLError) -> [UInt8] {
        let nonce = try SecureRandom.bytes(Self.nonceLength)
        return try seal(plaintext, associatedData: associatedData, nonce: nonce)
    }

    /// For known-answer tests only: a nonce must never be used twice under one key.
    /// - Precondition: a nonce of 12 bytes; neither text of 2 GiB or more.
    func seal(_ plaintext: Span<UInt8>, associatedData: [UInt8], nonce: [UInt8]) throws(OpenSSLError) -> [UInt8] {
        precondition(nonce.count == Self.nonceLength, "a nonce of AES-GCM has 12 bytes here")
        OpenSSLError.clear()
        guard let context = unsafe EVP_CIPHER_CTX_new() else { throw .drain("sealing") }
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: plaintext.count)
        var tag = [UInt8](repeating: 0, count: Self.tagLength)
        var length: Int32 = 0
        let done = key.withSpan { key in
            unsafe key.withUnsafeBufferPointer {
                unsafe EVP_EncryptInit_ex2(context, AES256GCM.shared.handle, $0.baseAddress, nonce, nil) == 1
            }
                && EVP_EncryptUpdate(context, nil, &length, associatedData, Int32(associatedData.count)) == 1
                && plaintext.withUnsafeBufferPointer {
                    unsafe EVP_EncryptUpdate(context, &output, &length, $0.baseAddress, Int32($0.count)) == 1
                }
                && Int(length) == plaintext.count
                && EVP_EncryptFinal_ex(context, &tag, &length) == 1
                && daypass_gcm_get_tag(context, &tag) == 1
        }
        guard done else { throw .drain("sealing") }
        return nonce + output + tag
    }

    /// The plaintext of a message that this key sealed with the same associated data.
    /// - Throws: when the key is another, or message or associated data were altered; nothing is returned then.
    package func open(_ sealed: Span<UInt8>, associatedData: [UInt8]) throws(OpenSSLError) -> SecretBytes {
        OpenSSLError.clear()
        let bodyLength = sealed.count - Self.nonceLength - Self.tagLength
        guard (0...Int(Int32.max)).contains(bodyLength), let context = unsafe EVP_CIPHER_CTX_new() else {
            throw .drain("opening")
        }
        defer { unsafe EVP_CIPHER_CTX_free(context) }
        var output = [UInt8](repeating: 0, count: bodyLength)
        var spare = [UInt8](repeating: 0, count: Self.tagLength)
        var tag = (0..<Self.tagLength).map { sealed[Self.nonceLength + bodyLength + $0] }
        var length: Int32 = 0
        let opened = unsafe sealed.withUnsafeBufferPointer { sealed in
            key.withSpan { key in
                unsafe key.withUnsafeBufferPointer {
                    unsafe EVP_DecryptInit_ex2(
                        context, AES256GCM.shared.handle, $0.baseAddress, sealed.baseAddress, nil) == 1
                }
                    && EVP_DecryptUpdate(context, nil, &length, associatedData, Int32(associatedData.count)) == 1
                    && EVP_DecryptUpdate(
                        context, &output, &length, sealed.baseAddress! + Self.nonceLength, Int32(bodyLength)) == 1
                    && Int(length) == bodyLength
                    && daypass_gcm_set_tag(context, &tag) == 1
                    && EVP_DecryptFinal_ex(context, &spare, &length) == 1
            }
        }
        // Moved also on failure: unauthenticated plaintext must not linger in memory either.
        let plaintext = SecretBytes(moving: &output)
        guard opened else { throw .drain("opening a sealed value (another key, or it was altered)") }
        return plaintext
    }
}

/// The `EVP_CIPHER`, fetched once and only read.
@safe private final class AES256GCM: @unchecked Sendable {
    static let shared = AES256GCM()

    let handle: OpaquePointer

    private init() {
        guard let handle = unsafe EVP_CIPHER_fetch(nil, "AES-256-GCM", nil) else {
            fatalError("OpenSSL offers no AES-256-GCM: its providers are not loaded")
        }
        unsafe self.handle = handle
    }
}
