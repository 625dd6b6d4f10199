package import Broker
package import FoundationEssentials
package import JOSE
package import SPIFFE

/// Records to store in tests.
package enum Sample {
    /// Of whole milliseconds, which stores keep.
    package static let time = Date(timeIntervalSince1970: 1_700_000_000.25)
    package static let issuer = name("ci")

    package static func name(_ text: String) -> IssuerName {
        guard let name = IssuerName(parsing: text) else { preconditionFailure("\(text) is no issuer's name") }
        return name
    }

    package static func session(
        _ id: String, below ancestors: [ExactString] = [], issuer: IssuerName = issuer,
        subject: ExactString = "ci:repo:acme/app", rule: ExactString = "ci-main", actor: JSONObject? = nil,
        binding: CertificateFingerprint? = nil, revision: UInt64 = 0,
        claims: JSONObject = ["sub": "repo:acme/app", "exp": 1_700_000_600]
    ) -> SessionRecord {
        let start = Date(timeIntervalSince1970: 1_700_000_000)
        return SessionRecord(
            id: ExactString(id), ancestors: ancestors, issuer: issuer, subject: subject, rule: rule,
            actor: actor, binding: binding, revision: revision, start: start, end: start.addingTimeInterval(3600),
            claims: claims)
    }

    /// A presentation of one subject token, the same for the same `token`.
    package static func use(
        of token: UInt8 = 1, atMost maximumUses: Int, expires: Date = time.addingTimeInterval(330)
    ) -> SubjectTokenUse {
        SubjectTokenUse(
            key: [UInt8](repeating: token, count: 32), expires: expires,
            notIssuedBefore: expires.addingTimeInterval(-330), maximumUses: maximumUses)
    }

    package static func grant(session: String, details: JSONObject = ["claims": ["sub": "repo:acme/app"]])
        -> AuditEvent
    {
        AuditEvent(
            time: time, trace: TraceID(), kind: .exchangeGranted, issuer: issuer, subject: "ci:repo:acme/app",
            rule: "ci-main", sessionID: ExactString(session), tokenID: "t1", details: details)
    }

    package static func refusal(trace: TraceID = TraceID(), time: Date = time) -> AuditEvent {
        AuditEvent(
            time: time, trace: trace, kind: .exchangeRefused, issuer: issuer, subject: nil, reason: "no_rule",
            details: ["explanation": ["rules": [["rule": "ci-main", "failed": [["claim": "ref", "got": "main"]]]]]])
    }

    package static func revocation(
        _ sequence: UInt64, _ target: Revocation.Target = .subject("ci:a"), block: Revocation.Block? = nil,
        by caller: Caller = .daemon
    ) -> RecordedRevocation {
        let revocation = Revocation(
            sequence: sequence, target: target, reason: "left\u{e9}", block: block, created: time, caller: caller,
            expires: time.addingTimeInterval(3600))
        let event = AuditEvent(
            time: time, trace: TraceID(), kind: .revoked, issuer: nil, subject: nil,
            details: ["sequence": .number(Double(sequence))])
        return RecordedRevocation(revocation, event)
    }

    package static func key(_ id: ExactString, _ state: SigningKeyRecord.State, created: Date = time)
        -> SigningKeyRecord
    {
        SigningKeyRecord(
            keyID: id, algorithm: .ES256, state: state, sealed: [0, 1, 0, 255], masterKeyID: "m1", created: created)
    }

    package static func keyEvent(_ kind: AuditEvent.Kind) -> AuditEvent {
        AuditEvent(
            time: time, trace: TraceID(), kind: kind, issuer: nil, subject: nil, details: ["caller": "schedule"])
    }

    /// Of whole milliseconds, as all that is stored.
    package static func credential(
        _ provider: String, _ number: Int, _ state: CredentialVersion.State = .staged,
        sealed: [UInt8] = [0, 1, 0, 255],
        at time: Date = time
    ) -> SealedCredential {
        guard let provider = ProviderName(parsing: provider) else { preconditionFailure("\(provider) is no name") }
        return SealedCredential(
            CredentialVersion(
                provider: provider, number: number, state: state, masterKeyID: "m1", created: time, since: time,
                caller: .token(subject: "ci:\u{e9}\u{0}", session: "s1", rule: "admins")), sealed: sealed)
    }
}

extension Sample {
    /// Of the session of that id.
    package static func signIn(
        _ session: String, generation: Int = 0, rotated: Date = time, sealed: [UInt8] = [0, 1, 0, 255],
        email: ExactString? = nil, providerSession: ExactString? = nil, device: ExactString? = nil,
        program: ExactString? = nil
    ) -> SignInRecord {
        SignInRecord(
            session: ExactString(session), generation: generation, rotated: rotated, sealed: sealed,
            masterKeyID: "m1", email: email, providerSession: providerSession,
            device: device, program: program, end: Sample.session(session).end)
    }
}
