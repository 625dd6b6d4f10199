package import FoundationEssentials
import JOSE

/// What became of reading the configuration again while the broker serves.
package enum ReloadOutcome: Sendable {
    /// The new rules, issuers and trust domains are in force for every request that begins now, or would be after a
    /// rehearsal; or, where the difference is empty, nothing had changed.
    /// - Parameter warnings: what `daypassd check` warns of, and blocks that keep out nobody any more.
    case applied(ConfigurationDifference, warnings: [String])
    /// Every error, with file, line and column where it has them. What was in force stays in force.
    case refused(Reason, [String])

    package enum Reason: String, Sendable, CaseIterable {
        /// The files do not hold a configuration that could be served.
        case invalid
        /// What it changes only a restart puts into force.
        case needsRestart = "needs_restart"
        /// It can be served, and was not taken up: a key that cannot be used, a name that stands for another issuer, a
        /// record that could not be made.
        case unusable
    }
}

extension AuditEvent {
    /// In bytes of UTF-8: of the errors that the record of a refused reload holds.
    package static let maximumErrorsLength = 2048

    /// That a configuration came into force.
    package init(
        reloading difference: ConfigurationDifference, by caller: Caller, under trace: TraceID, at now: Date
    ) {
        var details: JSONObject = ["caller": .object(caller.json)]
        for member in difference.json.members { _ = details.append(member.name, member.value) }
        self.init(
            time: now, trace: trace, kind: .configurationReloaded, issuer: nil, subject: nil, details: details)
    }

    /// That one did not, and why: as much of the errors as there is room for.
    package init(
        refusingReload reason: ReloadOutcome.Reason, _ errors: [String], by caller: Caller, under trace: TraceID,
        at now: Date
    ) {
        var text = errors.joined(separator: "\n")
        if text.utf8.count > Self.maximumErrorsLength {
            // What is cut within a character becomes U+FFFD, which has three bytes, as the dots have.
            text = String(decoding: text.utf8.prefix(Self.maximumErrorsLength - 6), as: UTF8.self) + "…"
        }
        self.init(
            time: now, trace: trace, kind: .configurationRefused, issuer: nil, subject: nil, reason: reason.rawValue,
            details: [
                "caller": .object(caller.json), "errors": .string(ExactString(text)),
                "error_count": .number(Double(errors.count)),
            ])
    }
}
