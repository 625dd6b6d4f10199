package import FoundationEssentials
package import JOSE

/// The values that routes and control functions exchange, and their JSON: one file for each kind of thing.
package enum AdministrationAPI {
    /// A part of a list, and where the next one begins.
    package struct Page<Element: Sendable>: Sendable {
        package let elements: [Element]
        /// The next page's `PageRequest.cursor`; nil at the end.
        package let next: ExactString?

        package init(_ elements: [Element], next: ExactString? = nil) {
            self.elements = elements
            self.next = next
        }
    }

    /// Which part of a list is asked for.
    package struct PageRequest: Sendable, Hashable {
        package static let limits = 1...1000
        package static let standardLimit = 100
        package static let maximumCursorLength = 256

        /// As an earlier page's `next` had it: characters of base64url, at most 256; whoever made it checks it. Nil for
        /// the first page.
        package let cursor: ExactString?
        /// How many elements at most; 1 to 1000.
        package let limit: Int

        /// - Returns: nil where either is out of its bounds.
        package init?(cursor: ExactString? = nil, limit: Int = standardLimit) {
            guard Self.limits.contains(limit), cursor.map(Self.isWellFormed) ?? true else { return nil }
            self.cursor = cursor
            self.limit = limit
        }

        private static func isWellFormed(_ cursor: ExactString) -> Bool {
            (1...maximumCursorLength).contains(cursor.utf8.count) && isIdentifier(cursor)
        }
    }

    /// Whether it has only the characters of base64url, as our identifiers do.
    package static func isIdentifier(_ text: ExactString) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy {
                (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x2D
                    || $0 == 0x5F
            }
    }

    /// Whether it is in the form of a signed token (RFC 7515 §7.1), which has no place in a record.
    package static func isToken(_ text: ExactString) -> Bool {
        let parts = text.string.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 3 && text.string.hasPrefix("eyJ")
            && parts.allSatisfy { isIdentifier(ExactString(String($0))) }
    }

    /// A moment as RFC 3339 text in UTC, in whole seconds.
    package static func json(_ moment: Date) -> JSONValue {
        .string(ExactString(moment.formatted(.iso8601)))
    }

    package static func json(_ names: [ExactString]) -> JSONValue {
        .array(names.map { .string($0) })
    }
}

extension AdministrationAPI.Page {
    /// `{name: [element, …], "next": cursor}`
    package func json(_ name: ExactString, _ element: (Element) -> JSONObject) -> JSONObject {
        var json: JSONObject = [name: .array(elements.map { .object(element($0)) })]
        if let next { _ = json.append("next", .string(next)) }
        return json
    }
}
