//! The arena's routes on actix-web, with one worker.

use actix_files::Files;
use actix_web::middleware::{Compress, Condition};
use actix_web::{http::header::ContentType, web, App, Error, HttpResponse, HttpServer};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

#[derive(Clone, Deserialize, Serialize)]
struct Rating {
    score: i64,
    count: i64,
}

#[derive(Clone, Deserialize)]
struct Item {
    id: i64,
    name: String,
    category: String,
    price: i64,
    quantity: i64,
    active: bool,
    tags: Vec<String>,
    rating: Rating,
}

#[derive(Serialize)]
struct Priced<'a> {
    id: i64,
    name: &'a str,
    category: &'a str,
    price: i64,
    quantity: i64,
    active: bool,
    tags: &'a [String],
    rating: &'a Rating,
    total: i64,
}

#[derive(Serialize)]
struct Page<'a> {
    items: Vec<Priced<'a>>,
    count: usize,
}

#[derive(Deserialize)]
struct Summands {
    a: i64,
    b: i64,
}

#[derive(Deserialize)]
struct Factor {
    m: i64,
}

fn text(body: String) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body(body)
}

async fn add(query: web::Query<Summands>) -> HttpResponse {
    text((query.a + query.b).to_string())
}

async fn add_body(query: web::Query<Summands>, body: String) -> HttpResponse {
    let third: i64 = body.trim().parse().unwrap_or(0);
    text((query.a + query.b + third).to_string())
}

async fn pipeline() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .body("ok")
}

async fn upload(mut body: web::Payload) -> Result<HttpResponse, Error> {
    let mut size = 0;
    while let Some(piece) = body.next().await {
        size += piece?.len();
    }
    Ok(text(size.to_string()))
}

async fn some(
    all: web::Data<Vec<Item>>,
    count: web::Path<usize>,
    factor: web::Query<Factor>,
) -> HttpResponse {
    let items: Vec<Priced> = all
        .iter()
        .take(*count)
        .map(|item| Priced {
            id: item.id,
            name: &item.name,
            category: &item.category,
            price: item.price,
            quantity: item.quantity,
            active: item.active,
            tags: &item.tags,
            rating: &item.rating,
            total: item.price * item.quantity * factor.m,
        })
        .collect();
    let count = items.len();
    HttpResponse::Ok().json(Page { items, count })
}

#[actix_web::main]
async fn main() -> std::io::Result<()> {
    let folder = std::env::var("ARENA_DATA").expect("ARENA_DATA");
    let port: u16 = std::env::args().nth(1).expect("a port").parse().expect("a port");
    let read = std::fs::read_to_string(format!("{folder}/dataset.json"))?;
    let all: Vec<Item> = serde_json::from_str(&read)?;
    let all = web::Data::new(all);
    let compress = std::env::var("ARENA_COMPRESS").is_ok();
    HttpServer::new(move || {
        App::new()
            .wrap(Condition::new(compress, Compress::default()))
            .app_data(all.clone())
            .route("/baseline11", web::get().to(add))
            .route("/baseline11", web::post().to(add_body))
            .route("/pipeline", web::get().to(pipeline))
            .route("/upload", web::post().to(upload))
            .route("/json/{count}", web::get().to(some))
            .service(Files::new("/static", format!("{folder}/static")))
    })
    .workers(1)
    .bind(("127.0.0.1", port))?
    .run()
    .await
}
