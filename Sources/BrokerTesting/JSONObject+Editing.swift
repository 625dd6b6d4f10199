package import JOSE

extension JSONObject {
    /// The object with `value` in the place of the member `name`, behind all others where there was none; without that
    /// member when `value` is nil.
    package func replacing(_ name: ExactString, with value: JSONValue?) -> JSONObject {
        var result = JSONObject()
        for member in members {
            guard member.name == name else {
                _ = result.append(member.name, member.value)
                continue
            }
            if let value { _ = result.append(name, value) }
        }
        if let value, self[name] == nil { _ = result.append(name, value) }
        return result
    }

    /// The object with each member of `other` replaced or added.
    package func merging(_ other: JSONObject) -> JSONObject {
        other.members.reduce(self) { $0.replacing($1.name, with: $1.value) }
    }
}
