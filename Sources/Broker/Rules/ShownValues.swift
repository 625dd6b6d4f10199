package import JOSE

extension JSONValue {
    /// As explanations show it: one that takes more than 256 bytes of JSON by its digest. An issuer, not we, decides how long
    /// it is.
    package var shown: JSONValue {
        let bytes = encoded()
        return bytes.count > Explanation.maximumValueLength ? KeptClaims.digest(of: bytes) : self
    }
}

/// Values of which one is wanted, as they are shown and recorded: the first 16, and how many more there are. What a rule has
/// is in its file.
package struct WantedValues: Sendable, Hashable {
    package static let maximumShown = 16

    package let shown: [JSONValue]
    package let omitted: Int

    /// - Parameter omitted: how many there are beside `values`.
    package init(_ values: some Collection<JSONValue>, omitted: Int = 0) {
        shown = Array(values.prefix(Self.maximumShown))
        self.omitted = omitted + values.count - shown.count
    }

    /// Adds them to `json` as `name`, and how many are left out as `omitted_` and that name.
    package func append(to json: inout JSONObject, as name: ExactString = "wanted") {
        _ = json.append(name, .array(shown))
        if omitted > 0 { _ = json.append(ExactString("omitted_\(name)"), .number(Double(omitted))) }
    }
}

extension ClaimMatcher {
    package var wanted: WantedValues { WantedValues(anyOf.lazy.map(\.json)) }

    /// Its claim, and each value with the type that it has to have.
    package var json: JSONObject {
        var json: JSONObject = ["claim": .string(claim.text)]
        wanted.append(to: &json)
        return json
    }
}
