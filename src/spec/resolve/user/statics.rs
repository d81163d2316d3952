//! Static probes: their arguments are where their notes say.

use super::declared::{declared, numbered, ty};
use super::site::{Site, Sites, of_origin};
use crate::binary::Returns;
use crate::binary::{Binary, Operand, Place, Semaphore, StaticProbe};
use crate::names::{closest, glob};
use crate::spec::ast::{Format, Spec, Word};
use crate::spec::resolve::error::{ResolveError, Wrong};
use crate::spec::resolve::scope::{Param, Scope, When};
use crate::spec::resolve::typed::Ty;
use crate::types::builder::Builder;

/// How many names are listed where any would do.
const LISTED: usize = 24;

/// Whether a name is the one that is asked for, or matches; none is any.
pub(super) fn is_asked(asked: &str, name: &str) -> bool {
    asked.is_empty() || asked == name || glob::is_glob(asked) && glob::matches(asked.as_bytes(), name.as_bytes())
}

/// All places of the probes that are asked for.
pub(super) fn sites(spec: &Spec, binary: &Binary, provider: &Word, name: &Word) -> Result<Sites, ResolveError> {
    let all = binary.static_probes();
    let asked = |probe: &&StaticProbe| is_asked(&provider.text, &probe.provider) && is_asked(&name.text, &probe.name);
    let found: Vec<&StaticProbe> = all.iter().filter(asked).collect();
    if found.is_empty() {
        return Err(missing(binary, &all, provider, name));
    }
    let mut builder = Builder::new();
    let floats = [builder.float(b"float", 4), builder.float(b"double", 8)];
    let types = builder.finish().map_err(|fault| Wrong::new(format!("types of our own {fault}")).at(&name.span))?;
    let (mut each, mut notes) = (Vec::new(), Vec::new());
    for probe in found {
        let name = format!("{}:{}", probe.provider, probe.name);
        let mut lost = 0;
        for place in &probe.places {
            let Some(offset) = place.offset else {
                lost += 1;
                continue;
            };
            let semaphore = match place.semaphore {
                Some(Semaphore::At(at)) => Some(at),
                Some(Semaphore::Nowhere) => {
                    notes.push(format!("{}: what turns {name} on is in no part of the file", binary.name));
                    None
                }
                None => None,
            };
            let scope = scope(spec, &name, place, floats, binary);
            let in_red_zone = place.in_red_zone(&binary.elf);
            each.push(Site { name: name.clone(), offset, semaphore, returns: Returns::Within, in_red_zone, scope });
        }
        if lost > 0 {
            notes.push(format!("{}: {lost} places of {name} are in no code that is loaded", binary.name));
        }
    }
    Ok(Sites { types, each, notes })
}

fn scope(spec: &Spec, name: &str, place: &Place, floats: [u32; 2], binary: &Binary) -> Scope {
    let declared = declared(spec);
    let param = |(n, operand): (usize, &Operand)| {
        let own = declared.get(n);
        let format = own.map_or_else(|| numbered(spec, n), |(_, format)| *format);
        let ty = of_operand(operand, format, floats);
        let way = operand.from.as_ref().map(|origin| of_origin(origin, ty)).map_err(|why| why.clone().into());
        Param { name: own.map(|(name, _)| (*name).to_owned()), ty, way }
    };
    Scope {
        name: name.to_owned(),
        params: place.args.iter().enumerate().map(param).collect(),
        returns: None,
        when: When::Entry,
        result_words: binary.elf.machine.result() + 1,
        hidden: 0,
        head: None,
        left: None,
        result_at: None,
    }
}

/// What an argument is: by what the note says, and where that may be anything, by how it is to be shown.
fn of_operand(operand: &Operand, format: Option<Format>, floats: [u32; 2]) -> Ty {
    let [single, double] = floats;
    let own = Ty::Number { size: operand.size, signed: operand.signed };
    match (operand.float, operand.size, format) {
        (true, 4, _) => Ty::of(single),
        (true, 8, _) => Ty::of(double),
        (_, 8, Some(Format::Str { .. } | Format::Bytes { .. } | Format::Pointer | Format::Symbol)) => Ty::Word,
        (_, 8, Some(format)) => match ty(Some(format)) {
            Ty::Word => own,
            // As wide as it is: what is shown of it is less.
            Ty::Number { signed, .. } => Ty::Number { size: 8, signed },
            other => other,
        },
        // It may be an address.
        (_, 8, None) if !operand.signed => Ty::Word,
        _ => own,
    }
}

fn missing(binary: &Binary, all: &[StaticProbe], provider: &Word, name: &Word) -> ResolveError {
    if all.is_empty() {
        let wrong = Wrong::new(format!("{} has no static probes", binary.name));
        return wrong.hint("they are in programs and libraries that were built with them (sys/sdt.h)").at(&name.span);
    }
    let full = |probe: &StaticProbe| format!("{}:{}", probe.provider, probe.name);
    let mut providers: Vec<&str> = all.iter().map(|probe| probe.provider.as_str()).collect();
    providers.dedup();
    if !providers.iter().any(|other| is_asked(&provider.text, other)) {
        let wrong = Wrong::new(format!("{} has no static probes of {}", binary.name, provider.text));
        let listed: Vec<String> = providers.iter().take(LISTED).map(|name| (*name).to_owned()).collect();
        return wrong.list("there are", &listed).at(&provider.span);
    }
    let asked = if provider.text.is_empty() { name.text.clone() } else { format!("{}:{}", provider.text, name.text) };
    let wrong = Wrong::new(format!("{} has no static probe {asked}", binary.name));
    let names: Vec<String> =
        all.iter().map(|probe| if provider.text.is_empty() { probe.name.clone() } else { full(probe) }).collect();
    let close: Vec<String> = closest(&asked, names.iter().map(String::as_str)).into_iter().map(str::to_owned).collect();
    if !close.is_empty() {
        return wrong.list("closest", &close).at(&name.span);
    }
    let mut listed: Vec<String> = all.iter().take(LISTED).map(full).collect();
    if all.len() > LISTED {
        listed.push(format!("and {} more", all.len() - LISTED));
    }
    wrong.list("there are", &listed).at(&name.span)
}
