package import JOSE
import Logging

extension KeyRotation {
    /// Takes a key out for good, at once: what it signed is refused when this returns, whatever the store does. If it was
    /// the active one, the staged one signs from that moment on.
    ///
    /// Where the store does not take it, `tick` tries again until it does.
    /// - Throws: `.unknown`.
    package func revoke(
        _ keyID: ExactString, reason: String? = nil, by caller: Caller, under trace: TraceID = TraceID()
    ) async throws(KeyRotationFailure) -> KeyRevoked {
        guard let record = records.first(where: { $0.keyID == keyID }) else { throw .unknown(keyID) }
        if record.state != .compromised, revoked[keyID] == nil {
            revoked[keyID] = Revocation(caller: caller, reason: reason, trace: trace)
            revoking?.setKey(keyID, isRecorded: false)
            try publish()
            logger.warning("a signing key is revoked", metadata: ["key": "\(keyID)", "trace": "\(trace)"])
        }
        let isRecorded = await revoking?.revokeKey(keyID, reason: reason, by: caller, under: trace) ?? true
        var isDurable = false
        do {
            try await takeTurn()
            defer { giveTurn() }
            try await catchUp()
            isDurable = revoked[keyID] == nil
        } catch {
            note(error)
        }
        return KeyRevoked(keyID: keyID, isDurable: isDurable && isRecorded)
    }

    /// Brings memory and store together: reads what is not known, and records what was revoked.
    func catchUp() async throws(KeyRotationFailure) {
        try await readIfDue()
        while let (keyID, revocation) = revoked.min(by: { $0.key < $1.key }) {
            if let record = records.first(where: { $0.keyID == keyID }), record.state != .compromised {
                let change = try change(revoking: record)
                var details: JSONObject = ["key": .string(keyID)]
                if let reason = revocation.reason { _ = details.append("reason", .string(ExactString(reason))) }
                try await apply(
                    change, event(.keyRevoked, change, by: revocation.caller, details, revocation.trace))
            }
            revoked[keyID] = nil
            revoking?.setKey(keyID, isRecorded: true)
        }
    }

    private func change(revoking record: SigningKeyRecord) throws(KeyRotationFailure) -> KeyRingChange {
        let now = clock.now
        var moves = [KeyRingChange.Move(record.keyID, from: record.state, to: .compromised)]
        var added: [SigningKeyRecord] = []
        switch record.state {
        case .active:
            if let staged = records.first(where: { $0.state == .staged }) {
                let isGood = revoked[staged.keyID] == nil
                moves.append(.init(staged.keyID, from: .staged, to: isGood ? .active : .compromised))
                if !isGood { added.append(try generate(.active, at: now)) }
            } else {
                added.append(try generate(.active, at: now))
            }
            added.append(try generate(.staged, at: now))
        case .staged: added.append(try generate(.staged, at: now))
        case .retiring, .retired, .compromised: break
        }
        return KeyRingChange(moves, adding: added, at: now)
    }
}
