import Broker
import JOSE

/// The parameters of a request's query, read strictly: one that is not known is an error, since what it meant to limit
/// would not be limited.
struct AdministrationQuery {
    private let form: FormBody
    private let known: [ExactString]

    init(_ query: String?, _ known: [ExactString]) throws(AdministrationError) {
        self.known = known
        // OAuth's forms take an empty value for an absent one.
        let pairs = (query ?? "").utf8.split(separator: UInt8(ascii: "&"))
        guard pairs.allSatisfy({ $0.contains(UInt8(ascii: "=")) && $0.last != UInt8(ascii: "=") }) else {
            throw .invalid("a parameter of the query has no value")
        }
        do {
            form = try FormBody(parsing: Array((query ?? "").utf8))
        } catch {
            throw .invalid("the query cannot be read: \(error.description)")
        }
        guard form.names.allSatisfy(known.contains) else {
            let names = known.map(\.string).joined(separator: ", ")
            throw .invalid("the query may have \(known.isEmpty ? "no parameters" : names), nothing else")
        }
    }

    subscript(name: ExactString) -> ExactString? { form[name] }

    /// A parameter that has to be a number in decimal digits; nil where it is absent.
    func number(_ name: ExactString) throws(AdministrationFailure) -> Int64? {
        guard let text = form[name]?.string else { return nil }
        guard let number = Int64(text), number >= 0, String(number) == text else {
            throw .invalid("\(name) has to be a number")
        }
        return number
    }

    func page() throws(AdministrationFailure) -> AdministrationAPI.PageRequest {
        var limit = AdministrationAPI.PageRequest.standardLimit
        if let text = form["limit"]?.string {
            guard let number = Int(text), String(number) == text else { throw .invalid(Self.limitWords) }
            limit = number
        }
        guard let page = AdministrationAPI.PageRequest(cursor: form["cursor"], limit: limit) else {
            throw .invalid(Self.limitWords)
        }
        return page
    }

    private static let limitWords = "limit has to be 1 to 1000, and cursor what `next` was in an earlier answer"

    /// The parameter `scope`, which has to be there.
    func scope() throws(AdministrationFailure) -> Scope {
        guard let scope = form["scope"].flatMap({ Scope(parsing: $0.string) }) else {
            throw .invalid("scope has to be one scope, such as anthropic:messages")
        }
        return scope
    }

    func filter() throws(AdministrationFailure) -> AdministrationAPI.SessionFilter {
        var filter = AdministrationAPI.SessionFilter(
            subject: form["subject"], rule: form["rule"], issuer: form["issuer"])
        if let claim = form["claim"]?.string {
            guard let sign = claim.utf8.firstIndex(of: UInt8(ascii: "=")), sign != claim.startIndex,
                claim.utf8.index(after: sign) != claim.endIndex
            else { throw .invalid("claim has to be NAME=VALUE") }
            filter.claim = .init(
                name: ExactString(String(claim[..<sign])),
                value: ExactString(String(claim[claim.utf8.index(after: sign)...])))
        }
        switch (form["email"], form["signed_in"]) {
        case (let email?, nil): filter.signIn = .email(email)
        case (nil, "true"): filter.signIn = .any
        case (nil, nil): break
        default: throw .invalid("signed_in may be true, and stands without email")
        }
        return filter
    }
}
