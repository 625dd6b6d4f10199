package import FoundationEssentials
package import JOSE

/// Where new signing keys come from; tests give one that fails.
package protocol SigningKeySource: Sendable {
    /// A new key and its record, sealed.
    /// - Throws: `.generation`, also where there is no randomness: nothing weaker may take its place.
    func key(
        _ algorithm: JWSAlgorithm, state: SigningKeyRecord.State, sealedWith masterKey: MasterKey, at now: Date
    ) throws(KeyRingFailure) -> SigningKeyRecord
}

/// Keys of OpenSSL's generator.
package struct NewSigningKeys: SigningKeySource {
    package init() {}

    package func key(
        _ algorithm: JWSAlgorithm, state: SigningKeyRecord.State, sealedWith masterKey: MasterKey, at now: Date
    ) throws(KeyRingFailure) -> SigningKeyRecord {
        try SigningKey.generate(algorithm, state: state, sealedWith: masterKey, at: now)
    }
}
