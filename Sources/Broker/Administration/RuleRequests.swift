import FoundationEssentials
import JOSE

// The bodies of the rules' routes, read strictly: a member that is not known is an error, since what it meant would not
// happen.

extension AdministrationAPI {
    /// Of the bodies that hold rules, in bytes: they are JSON, in which every line end of a document takes two. Less than
    /// what any body may have, so that a longer one is told so.
    package static let maximumRulesBodyLength = 1000 * 1024

    /// The object that the body is, with none but these members.
    fileprivate static func members(
        _ body: [UInt8], _ known: [ExactString]
    ) throws(AdministrationFailure) -> JSONObject {
        // The claims are a member, nested as deep as those of a token.
        try members(of: body, known, depth: JSONReader.defaultDepth + 1)
    }
}

extension AdministrationAPI.RuleTest {
    private static let members: [ExactString] = [
        "claims", "issuer", "trust_domain", "scope", "rule", "federation", "rules",
    ]
    /// Of the claims, in bytes: as many as a token has. What matching them against rules can cost depends on it.
    package static let maximumClaimsLength = 16 * 1024

    /// The body of `POST rules/test`.
    package init(parsing body: [UInt8]) throws(AdministrationFailure) {
        let members = try AdministrationAPI.members(body, Self.members)
        let claims = try Self.claims(members["claims"])
        self.init(claims: claims)
        let issuer = try members.ruleText("issuer", atMost: 63)
        let trustDomain = try members.ruleText("trust_domain", atMost: 255)
        guard issuer == nil || trustDomain == nil else {
            throw .invalid("issuer and trust_domain do not stand together: claims are of one of them")
        }
        source = issuer.map { .issuer($0) } ?? trustDomain.map { .trustDomain($0) }
        if let text = try members.ruleText("scope", atMost: 16 * 1024) {
            guard let list = Scope.list(parsing: text.string), !list.isEmpty else {
                throw .invalid("scope has to be up to \(Scope.maximumCount) scopes with spaces between them")
            }
            scope = list
        }
        rule = try members.ruleText("rule", atMost: 128)
        if let ids = members["federation"] { federation = try FederationIDs(reading: ids) }
        if let documents = members["rules"] { self.documents = try AdministrationAPI.RuleDocument.list(documents) }
    }

    /// An object, or its text: as text it is read like that of a token, and what is wrong with it is said.
    private static func claims(_ value: JSONValue?) throws(AdministrationFailure) -> JSONObject {
        let text: [UInt8]
        switch value {
        case .object(let claims): text = claims.encoded()
        case .string(let string): text = Array(string.utf8)
        default: throw .invalid("claims has to be an object, or the text of one")
        }
        guard text.count <= maximumClaimsLength else {
            throw .invalid("the claims are longer than \(maximumClaimsLength) bytes")
        }
        do {
            return try JSONReader.readObject(text)
        } catch {
            throw .invalid("the claims are \(error.description)")
        }
    }
}

extension AdministrationAPI.RuleReplayOrder {
    private static let members: [ExactString] = ["rules", "since", "until", "cursor"]

    /// The body of `POST rules/replay`.
    package init(parsing body: [UInt8]) throws(AdministrationFailure) {
        let members = try AdministrationAPI.members(body, Self.members)
        guard let since = try members.moment("since") else { throw .invalid("since is missing") }
        let documents = try AdministrationAPI.RuleDocument.list(members["rules"])
        self.init(documents, since: since)
        until = try members.moment("until")
        guard until.map({ since < $0 }) ?? true else { throw .invalid("until has to be later than since") }
        guard let cursor = try members.ruleText("cursor", atMost: 64) else { return }
        guard let position = HistoryPosition(parsing: cursor.string) else {
            throw .invalid("cursor has to be what `next` was in an earlier answer")
        }
        self.position = position
    }
}

extension AdministrationAPI.RuleDocument {
    /// `[{"name", "text"}, …]`
    fileprivate static func list(_ value: JSONValue?) throws(AdministrationFailure) -> [Self] {
        guard let elements = value?.array, (1...maximumCount).contains(elements.count) else {
            throw .invalid("rules has to be an array of 1 to \(maximumCount) documents")
        }
        var documents: [Self] = []
        for element in elements {
            guard let object = element.object, object.members.count == 2,
                let name = try object.ruleText("name", atMost: maximumNameLength), let text = object["text"]?.string
            else { throw .invalid("a document of rules has to have the members name and text, both texts") }
            documents.append(Self(name: name.string, text: text))
        }
        return documents
    }
}

extension FederationIDs {
    fileprivate init(reading value: JSONValue) throws(AdministrationFailure) {
        self.init()
        guard let object = value.object else { throw .invalid("federation has to be an object") }
        for member in object.members {
            guard let parameter = Parameter(rawValue: member.name.string), let id = member.value.string else {
                let names = Parameter.allCases.map(\.rawValue).joined(separator: ", ")
                throw .invalid("the members of federation may be \(names), each a text")
            }
            self[parameter] = id
        }
    }
}

extension JSONObject {
    /// A member that has to be text without control characters, of 1 byte at least; nil where it is absent.
    fileprivate func ruleText(_ name: ExactString, atMost length: Int) throws(AdministrationFailure) -> ExactString? {
        guard let value = self[name] else { return nil }
        guard let text = value.string, !text.hasControlCharacters, (1...length).contains(text.utf8.count) else {
            throw .invalid("\(name) has to be text of 1 to \(length) bytes, without control characters")
        }
        return text
    }

    fileprivate func moment(_ name: ExactString) throws(AdministrationFailure) -> Date? {
        guard let text = try ruleText(name, atMost: 64) else { return nil }
        let fine = Date.ISO8601FormatStyle(includingFractionalSeconds: true)
        let moment = (try? Date(text.string, strategy: .iso8601)) ?? (try? Date(text.string, strategy: fine))
        guard let moment else {
            throw .invalid("\(name) has to be a moment such as 2027-01-31T12:00:00Z")
        }
        return moment
    }
}
