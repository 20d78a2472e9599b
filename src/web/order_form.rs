//! Reads the body of `POST /orders`: every mistake names its field. Pure.

use super::problem::Problem;
use crate::events::{Currency, Item};
use serde_json::Value;

const CUSTOMER_CHARS_MAX: usize = 128;
const SKU_CHARS_MAX: usize = 64;
const ITEMS_MAX: usize = 100;
const QUANTITY_MAX: u64 = 10_000;
/// In minor units; with the other bounds no total overflows.
const UNIT_PRICE_MAX: u64 = 1_000_000_000_000;

/// What a customer orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderForm {
    pub customer: String,
    pub items: Vec<Item>,
    pub currency: Currency,
}

/// Reads the JSON of an order. Fields that it does not know are passed over.
///
/// # Errors
/// The first mistake, with its field.
pub fn read_order(body: &[u8]) -> Result<OrderForm, Problem> {
    let value: Value =
        serde_json::from_slice(body).map_err(|error| Problem::field("body", &format!("is not JSON: {error}")))?;
    if !value.is_object() {
        return Err(Problem::field("body", "must be a JSON object"));
    }
    let customer = text(&value["customer"], "customer", CUSTOMER_CHARS_MAX)?;
    let items = match &value["items"] {
        Value::Array(items) if (1..=ITEMS_MAX).contains(&items.len()) => items,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            return Err(Problem::field("items", &format!("must be a list of 1 to {ITEMS_MAX} items")));
        }
    };
    let items = items.iter().enumerate().map(|(at, item)| read_item(at, item)).collect::<Result<_, _>>()?;
    let currency = value["currency"].as_str().and_then(|code| Currency::parse(code).ok());
    let currency = currency.ok_or_else(|| Problem::field("currency", "must be three capital letters such as KRW or EUR"))?;
    Ok(OrderForm { customer, items, currency })
}

fn read_item(at: usize, item: &Value) -> Result<Item, Problem> {
    if !item.is_object() {
        return Err(Problem::field(format!("items[{at}]"), "must be a JSON object"));
    }
    let quantity = number(&item["quantity"], format!("items[{at}].quantity"), 1, QUANTITY_MAX)?;
    Ok(Item {
        sku: text(&item["sku"], &format!("items[{at}].sku"), SKU_CHARS_MAX)?,
        quantity: u32::try_from(quantity).unwrap_or(u32::MAX),
        unit_price: number(&item["unit_price"], format!("items[{at}].unit_price"), 0, UNIT_PRICE_MAX)?,
    })
}

fn text(value: &Value, field: &str, chars_max: usize) -> Result<String, Problem> {
    let well = |text: &&str| (1..=chars_max).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let rule = format!("must be a text of 1 to {chars_max} characters without control characters");
    value.as_str().filter(well).map(str::to_owned).ok_or_else(|| Problem::field(field, &rule))
}

fn number(value: &Value, field: String, min: u64, max: u64) -> Result<u64, Problem> {
    let rule = format!("must be a whole number from {min} to {max}");
    value.as_u64().filter(|number| (min..=max).contains(number)).ok_or_else(|| Problem::field(field, &rule))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        json!({"customer": "c-1", "items": [{"sku": "TEA", "quantity": 2, "unit_price": 4500}], "currency": "KRW"})
    }

    fn field_of(body: &Value) -> Option<String> {
        read_order(body.to_string().as_bytes()).err().and_then(|problem| problem.field)
    }

    #[test]
    fn a_good_order_is_read_and_unknown_fields_are_passed_over() {
        let mut body = good();
        body["note"] = "ring twice".into();
        let form = read_order(body.to_string().as_bytes()).unwrap();
        assert_eq!((form.customer.as_str(), form.items.len(), form.currency.to_string().as_str()), ("c-1", 1, "KRW"));
    }

    #[test]
    fn each_mistake_names_its_field() {
        let with = |path: &str, value: Value| {
            let mut body = good();
            *body.pointer_mut(path).unwrap() = value;
            field_of(&body)
        };
        let cases = [
            ("/customer", json!(7), "customer"),
            ("/customer", json!(""), "customer"),
            ("/customer", json!("a\u{0}b"), "customer"),
            ("/customer", json!("x".repeat(129)), "customer"),
            ("/items", json!([]), "items"),
            ("/items", json!({"sku": "TEA"}), "items"),
            ("/items/0", json!("TEA"), "items[0]"),
            ("/items/0/sku", json!(null), "items[0].sku"),
            ("/items/0/quantity", json!(0), "items[0].quantity"),
            ("/items/0/quantity", json!(1.5), "items[0].quantity"),
            ("/items/0/quantity", json!("2"), "items[0].quantity"),
            ("/items/0/unit_price", json!(-1), "items[0].unit_price"),
            ("/items/0/unit_price", json!(1e15), "items[0].unit_price"),
            ("/currency", json!("won"), "currency"),
        ];
        for (path, value, field) in cases {
            assert_eq!(with(path, value.clone()).as_deref(), Some(field), "{path} = {value}");
        }
        for field in ["customer", "items", "currency"] {
            let mut body = good();
            body.as_object_mut().unwrap().remove(field);
            assert_eq!(field_of(&body).as_deref(), Some(field));
        }
        assert_eq!(read_order(b"{").unwrap_err().field.as_deref(), Some("body"));
        assert_eq!(read_order(b"[]").unwrap_err().field.as_deref(), Some("body"));
    }

    #[test]
    fn the_largest_order_that_is_allowed_has_a_total() {
        let item = Item { sku: String::new(), quantity: 10_000, unit_price: UNIT_PRICE_MAX };
        assert!(Item::total(&vec![item; 100], Currency::parse("KRW").unwrap()).is_some());
    }
}
