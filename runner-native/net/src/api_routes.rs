//! Every route of an API in one table, by which requests are led, and methods are checked.
//!
//! It knows neither what an operation is nor who may ask for it: the owner of the table says that.

use http::Method;

/// One method of one path. `L` is who may use it, and `O` what it asks for.
#[derive(Clone, Debug)]
pub struct ApiRoute<L, O> {
    /// The method.
    pub method: Method,
    /// The path, which may have one name in braces for a segment.
    pub path: &'static str,
    /// Who may use it.
    pub level: L,
    /// What it asks for.
    pub operation: O,
    /// What it does, for its description.
    pub summary: &'static str,
}

/// A row of a table.
pub const fn route<L: Copy, O: Copy>(
    method: Method,
    path: &'static str,
    level: L,
    operation: O,
    summary: &'static str,
) -> ApiRoute<L, O> {
    ApiRoute { method, path, level, operation, summary }
}

/// Where a request leads.
#[derive(Debug)]
pub enum Found<'a, L: 'static, O: 'static> {
    /// To this route; with what stands in its path for a name in braces, as it was sent.
    Route(&'static ApiRoute<L, O>, Option<&'a str>),
    /// To a path that has only these methods.
    OtherMethods(String),
    /// Nowhere.
    Nothing,
}

/// Where a request leads. HEAD is served where GET is.
pub fn find<'a, L, O>(routes: &'static [ApiRoute<L, O>], method: &Method, path: &'a str) -> Found<'a, L, O> {
    let wanted = if *method == Method::HEAD { &Method::GET } else { method };
    let mut methods = Vec::new();
    for route in routes {
        let Some(parameter) = matched(route.path, path) else { continue };
        if route.method == *wanted {
            return Found::Route(route, parameter);
        }
        methods.push(route.method.as_str());
        if route.method == Method::GET {
            methods.push("HEAD");
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::OtherMethods(methods.join(", ")) }
}

/// Whether `path` is of the form of `pattern`, and what stands in it for the name in braces.
fn matched<'a>(pattern: &str, path: &'a str) -> Option<Option<&'a str>> {
    let Some((before, rest)) = pattern.split_once('{') else { return (pattern == path).then_some(None) };
    let (_, after) = rest.split_once('}')?;
    let value = path.strip_prefix(before)?.strip_suffix(after)?;
    (!value.is_empty() && !value.contains('/')).then_some(Some(value))
}
