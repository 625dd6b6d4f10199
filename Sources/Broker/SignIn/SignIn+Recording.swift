import FoundationEssentials
import JOSE
import OpenSSL

// Making durable that somebody has signed in.
extension SignIn {
    /// So many sign-ins of a person live at once.
    package static let maximumSignIns = 100

    /// Makes the session durable with its sign-in, by which logouts and lists find it, also where it has no refresh token.
    /// - Returns: the first refresh token; nil where the session ends with its first gateway token.
    func record(
        _ session: SessionRecord, _ token: GatewayToken, _ approval: Approval, _ event: AuditEvent, at now: Date
    ) async throws(SignInRefusal) -> SecretText? {
        let (first, signIn): (OpaqueToken, SignInRecord)
        do {
            first = try OpaqueToken(from: random)
            let secrets = try SignInSecrets(from: random, providerToken: approval.providerToken)
            signIn = SignInRecord(
                session: session.id, generation: 0, rotated: now,
                sealed: try secrets.sealed(with: masterKey, for: session.id), masterKeyID: masterKey.id,
                email: approval.email, providerSession: approval.providerSession, device: approval.device.name,
                program: approval.device.program, end: session.end)
        } catch {
            throw .unavailable(.minting(error, session.issuer, session.rule))
        }
        let outcome = try await stored(event) { () async throws(StoreFailure) in
            try await store.record(session, event, opening: signIn, token: first.digest)
        }
        guard outcome == .recorded else {
            let request = ExchangeRequest(
                trace: event.trace, client: event.details["client"]?.string ?? "", subject: .proof(SecretText("")))
            try await refuse(session, request, .revoked, at: now)
            throw .denied(nil)
        }
        return session.end > token.expiry ? first.text : nil
    }

    /// Where the person has as many sign-ins as may live, ends those that were used longest ago, on the record. They count as
    /// given back by their holder, so that nobody fills what may be revoked by signing in.
    func makeRoom(for session: SessionRecord, _ request: ExchangeRequest) async throws(SignInRefusal) {
        do {
            let live = try await store.signIns(
                of: session.issuer, subject: session.subject, providerSession: nil, at: clock.now
            ).filter { mint.revocations.kills($0) == nil }
            guard live.count >= Self.maximumSignIns else { return }
            let signIns = try await store.signIns(ofSessions: live.map(\.id))
            let byUse = live.sorted { one, other in
                (signIns[one.id]?.rotated ?? one.start) < (signIns[other.id]?.rotated ?? other.start)
            }
            for old in byUse.prefix(live.count + 1 - Self.maximumSignIns) {
                let holder = Caller.holder(
                    subject: old.subject, session: old.id, root: old.lineage[0], rule: old.rule)
                let wish = try RevocationRequest(.session(old.id), reason: Self.roomReason)
                _ = try await revocations.revoke(wish, by: holder, trace: request.trace)
            }
        } catch {
            throw .unavailable(
                ExchangeOutage(.store, cause: "\(error)", issuer: session.issuer, rule: session.rule))
        }
    }

    private static let roomReason = "this person has \(maximumSignIns) sign-ins that were used later"
}

extension Approval {
    /// What the audit record says of a sign-in: which device, and where it was approved. What the device says of itself is
    /// not proved.
    var provenance: JSONObject {
        let parts: [(ExactString, ExactString?)] = [
            ("device", device.name), ("program", device.program), ("approved_from", approvedFrom),
            ("provider_session", providerSession),
        ]
        var json: JSONObject = ["step": "device"]
        for (name, value) in parts {
            if let value { _ = json.append(name, .string(value)) }
        }
        return json
    }
}
