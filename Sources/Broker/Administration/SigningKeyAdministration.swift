package import JOSE

/// The signing keys as administrators reach them: their rotation, and the revocation that goes with a revoked one.
package struct SigningKeyAdministration: KeyAdministration {
    private let rotation: KeyRotation
    private let revocations: Revocations

    /// - Parameter revocations: those that `rotation` tells of a revoked key.
    package init(_ rotation: KeyRotation, _ revocations: Revocations) {
        self.rotation = rotation
        self.revocations = revocations
    }

    package func keys() async throws(AdministrationFailure) -> [AdministrationAPI.Key] {
        await rotation.descriptions.map { key in
            AdministrationAPI.Key(
                keyID: key.keyID, algorithm: ExactString(key.algorithm.rawValue),
                state: ExactString(key.state.rawValue), created: key.created, since: key.since)
        }
    }

    package func rotate(
        force: Bool, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.KeyChange {
        do {
            return AdministrationAPI.KeyChange(
                try await rotation.rotate(force: force, by: context.caller, under: context.trace))
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func activate(
        _ keyID: ExactString, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.KeyChange {
        do {
            return AdministrationAPI.KeyChange(
                try await rotation.activate(keyID, by: context.caller, under: context.trace))
        } catch {
            throw AdministrationFailure(error)
        }
    }

    package func revoke(
        _ keyID: ExactString, reason: ExactString?, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult {
        let revoked: KeyRevoked
        do {
            revoked = try await rotation.revoke(
                keyID, reason: reason?.string, by: context.caller, under: context.trace)
        } catch {
            throw AdministrationFailure(error)
        }
        guard let revocation = revocations.revocation(of: .key(keyID)) else {
            throw .unavailable(
                "the signing key \(keyID) signs no more and is taken out, but no revocation says so: "
                    + "there are as many as may be")
        }
        return AdministrationAPI.RevocationResult([
            AdministrationAPI.Revocation(revocation, isDurable: revoked.isDurable)
        ])
    }
}

extension AdministrationAPI.KeyChange {
    fileprivate init(_ rotated: KeyRotated) {
        self.init(
            active: rotated.active, staged: rotated.staged,
            retiring: rotated.before == rotated.active ? nil : rotated.before)
    }
}

extension AdministrationFailure {
    fileprivate init(_ failure: KeyRotationFailure) {
        switch failure {
        case .unknown: self = .notFound("\(failure)")
        case .over, .tooEarly, .tooMany: self = .conflict("\(failure)")
        case .busy, .store, .keys: self = .unavailable("\(failure)")
        }
    }
}
