package import FoundationEssentials
package import JOSE

/// The bodies of requests, read strictly: a member that is not known is an error, since what it meant would not happen.
extension AdministrationAPI {
    /// The body of a request that has none, or only flags.
    package static func flags(
        _ body: [UInt8], _ known: [ExactString]
    ) throws(AdministrationFailure) -> Set<ExactString> {
        let members = try members(of: body, known)
        var flags: Set<ExactString> = []
        for name in known where try members.flag(name) { flags.insert(name) }
        return flags
    }

    /// The object that the body is, with none but these members; an empty body has none.
    static func members(
        of body: [UInt8], _ known: [ExactString], depth: Int = 3
    ) throws(AdministrationFailure) -> JSONObject {
        guard !body.isEmpty else { return [:] }
        do {
            return try JSONReader.readObject(body, depth: depth, known: known)
        } catch {
            guard error.reason == .unknownMember else { throw .invalid("the body is \(error.description)") }
            let names = known.map(\.string).joined(separator: ", ")
            throw .invalid(
                known.isEmpty
                    ? "the body may have no members" : "the members of the body may be \(names), nothing else")
        }
    }
}

extension AdministrationAPI.RevocationOrder {
    private static let members: [ExactString] = [
        "kind", "value", "where", "reason", "block", "until", "until_in", "dry_run",
    ]
    /// Of `until_in`, in seconds.
    private static let maximumBlock = 100.0 * 365 * 86_400

    /// The body of `POST revocations`, and whether it only asks what would happen.
    package static func parse(
        _ body: [UInt8], at now: Date
    ) throws(AdministrationFailure) -> (order: Self, isDryRun: Bool) {
        let members = try AdministrationAPI.members(of: body, members)
        let kind = try kind(members)
        let what = try what(kind, members)
        let reason = try members.text("reason", atMost: maximumReasonLength)
        let block = try block(kind, members, at: now)
        return (Self(kind, what, reason: reason, block: block), try members.flag("dry_run"))
    }

    /// The body of `POST unblock`, and whether it only asks what would happen.
    package static func parseLifting(
        _ body: [UInt8]
    ) throws(AdministrationFailure) -> (order: Self, isDryRun: Bool) {
        let members = try AdministrationAPI.members(of: body, ["kind", "value", "reason", "dry_run"])
        let kind = try kind(members)
        guard kind.canBlock else { throw .invalid("a \(kind.rawValue) is never blocked") }
        let what = try what(kind, members)
        let reason = try members.text("reason", atMost: maximumReasonLength)
        return (Self(kind, what, reason: reason), try members.flag("dry_run"))
    }

    private static func kind(_ members: JSONObject) throws(AdministrationFailure) -> AdministrationAPI.RevocationKind {
        guard let name = try members.text("kind", atMost: 16),
            let kind = AdministrationAPI.RevocationKind.allCases.first(where: { ExactString($0.rawValue) == name })
        else { throw .invalid("kind has to be token, session, subject, rule, issuer, key or all") }
        return kind
    }

    private static func what(
        _ kind: AdministrationAPI.RevocationKind, _ members: JSONObject
    ) throws(AdministrationFailure) -> What {
        let value = try members.text("value", atMost: maximumValueLength)
        if let condition = members["where"] {
            guard kind == .session, value == nil else {
                throw .invalid("where stands with kind session, and without value")
            }
            guard let condition = condition.object, condition.members.count == 2,
                let claim = try condition.text("claim", atMost: 256),
                let wanted = try condition.text("value", atMost: maximumValueLength)
            else { throw .invalid("where has to have the members claim and value, both texts") }
            return .claim(claim, wanted)
        }
        guard kind != .all else {
            guard value == nil else { throw .invalid("kind all has no value") }
            return .everything
        }
        guard let value else { throw .invalid("value is missing") }
        // Else a token that is given in the place of its id would be in every record of it.
        if [.token, .session, .key].contains(kind), !AdministrationAPI.isIdentifier(value) {
            throw .invalid("the value of a \(kind.rawValue) has to be its id: a jti, a sid or a kid")
        }
        guard !AdministrationAPI.isToken(value) else {
            throw .invalid("the value of a \(kind.rawValue) is a name, and this is a token: it was not recorded")
        }
        return .value(value)
    }

    private static func block(
        _ kind: AdministrationAPI.RevocationKind, _ members: JSONObject, at now: Date
    ) throws(AdministrationFailure) -> Block? {
        let (until, length) = (try members.text("until", atMost: 64), members["until_in"])
        guard try members.flag("block") else {
            guard until == nil, length == nil else { throw .invalid("until and until_in stand with block") }
            return nil
        }
        guard kind.canBlock else { throw .invalid("block stands with kind subject, rule, issuer or all") }
        guard until == nil || length == nil else { throw .invalid("until and until_in do not stand together") }
        if let length {
            guard let seconds = length.number, seconds.rounded() == seconds, (1...maximumBlock).contains(seconds) else {
                throw .invalid("until_in has to be a whole number of seconds, 1 to \(Int(maximumBlock))")
            }
            // Moments are shown in whole seconds.
            return Block(until: Date(timeIntervalSince1970: (now.timeIntervalSince1970 + seconds).rounded(.up)))
        }
        guard let until else { return Block() }
        guard let end = try? Date(until.string, strategy: .iso8601) else {
            throw .invalid("until has to be a moment such as 2027-01-31T12:00:00Z")
        }
        guard end > now else {
            throw .invalid("until is \(until), which is past: the broker's clock says \(now.formatted(.iso8601))")
        }
        return Block(until: end)
    }
}

extension JSONObject {
    /// A member that has to be text without control characters, of 1 byte at least; nil where it is absent.
    fileprivate func text(_ name: ExactString, atMost length: Int) throws(AdministrationFailure) -> ExactString? {
        guard let value = self[name] else { return nil }
        guard let text = value.string, !text.hasControlCharacters, (1...length).contains(text.utf8.count) else {
            throw .invalid("\(name) has to be text of 1 to \(length) bytes, without control characters")
        }
        return text
    }

    fileprivate func flag(_ name: ExactString) throws(AdministrationFailure) -> Bool {
        switch self[name] {
        case nil: return false
        case .bool(let flag): return flag
        default: throw .invalid("\(name) has to be true or false")
        }
    }
}
